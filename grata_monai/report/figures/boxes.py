# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Box plots of the Dice of single images, and of their change against No Adapt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from grata_monai.benchmark.names import file_name
from grata_monai.report.figures.canvas import Drawn, Line, axes_grid, new_canvas, plain, save
from grata_monai.report.run import Run


def draw_boxes(
    run: Run, changes: pd.Series, lines: Mapping[str, Line], folder: Path
) -> list[Drawn]:
    """Draw one figure per protocol: Dice and, where it is known, its change, by method.

    Args:
        run: The run.
        changes: Per row of the run, its Dice minus that of No Adapt.
        lines: Methods and their colors.
        folder: Where the files go.

    Returns:
        Per figure: name, a description, files.
    """
    drawn = []
    table = run.rows.assign(change=changes)
    for protocol in run.protocols:
        rows = table[table["protocol"] == protocol]
        quantities = [("dice", "mean Dice of an image", list(lines))]
        if rows["change"].notna().any():
            others = [name for name in lines if name != run.baseline]
            quantities.append(("change", f"change of Dice from {run.baseline}", others))
        quantities = [(column, label, names) for column, label, names in quantities if names]
        canvas = new_canvas(5.2 * len(quantities), 1.2 + 0.3 * len(lines))
        panels = axes_grid(canvas, len(quantities), 2)
        for axes, (column, label, names) in zip(panels, quantities, strict=True):
            _draw_panel(axes, rows, column, names, lines)
            axes.set_xlabel(plain(label))
        name = f"boxes_{file_name(protocol)}"
        text = (
            f"Dice of single images by method, protocol {protocol}, all sources, targets and seeds "
            "together: median, quartiles, 5th and 95th percentile, and the images beyond"
        )
        drawn.append((name, text, save(canvas, folder, name)))
    return drawn


def _draw_panel(
    axes: Axes, rows: pd.DataFrame, column: str, names: list[str], lines: Mapping[str, Line]
) -> None:
    values = [rows.loc[rows["method"] == name, column].dropna().to_numpy() for name in names]
    boxes = axes.boxplot(
        values,
        orientation="horizontal",
        whis=(5, 95),
        patch_artist=True,
        widths=0.6,
        medianprops={"color": "black"},
        flierprops={"marker": ".", "markersize": 2.5, "alpha": 0.5},
    )
    for patch, name in zip(boxes["boxes"], names, strict=True):
        patch.set_facecolor(lines[name].color)
        patch.set_alpha(0.55)
    if column == "change":
        axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(1, len(names) + 1), [plain(name) for name in names])
    axes.invert_yaxis()
