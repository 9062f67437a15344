# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Which method does what from which source to which target, as a map of colors and numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from grata_monai.benchmark.names import file_name
from grata_monai.report.figures.canvas import Drawn, axes_grid, new_canvas, plain, save
from grata_monai.report.run import Run


def draw_heat_maps(run: Run, changes: pd.Series, folder: Path) -> list[Drawn]:
    """Draw one figure per protocol: mean Dice and, where it is known, its change.

    Args:
        run: The run.
        changes: Per row of the run, its Dice minus that of No Adapt.
        folder: Where the files go.

    Returns:
        Per figure: name, a description, files.
    """
    drawn = []
    table = run.rows.assign(change=changes)
    for protocol in run.protocols:
        rows = table[table["protocol"] == protocol]
        columns = ["dice"] + (["change"] if rows["change"].notna().any() else [])
        maps = [_pivot(run, rows, column) for column in columns]
        width = 2.2 + 0.62 * maps[0].shape[1]
        canvas = new_canvas(max(4.0, width) * len(maps), 1.9 + 0.32 * maps[0].shape[0])
        panels = axes_grid(canvas, len(maps), 2)
        for axes, values, column in zip(panels, maps, columns, strict=True):
            _draw_map(canvas, axes, values, is_change=column == "change")
            title = "mean Dice" if column == "dice" else f"change from {run.baseline}"
            axes.set_title(plain(title), fontsize=9)
        name = f"heat_map_{file_name(protocol)}"
        text = (
            f"Mean Dice of disc and cup by method and by source and target, protocol {protocol}, "
            "mean over images and seeds"
        )
        drawn.append((name, text, save(canvas, folder, name)))
    return drawn


def _pivot(run: Run, rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return methods x "source → target", in the plan's order; NaN where nothing was run."""
    named = rows.assign(pair=rows["source"] + " → " + rows["target"])
    means = named.pivot_table(index="method", columns="pair", values=column, dropna=False)
    order = [f"{source} → {target}" for source in run.sources for target in run.targets]
    pairs = [pair for pair in order if pair in means.columns]
    methods = [method for method in run.methods if method in means.index]
    return means.loc[methods, pairs]


def _draw_map(canvas: Canvas, axes: Axes, values: pd.DataFrame, *, is_change: bool) -> None:
    numbers = values.to_numpy(dtype=float)
    largest = float(np.nanmax(np.abs(numbers), initial=0.1)) if is_change else 0.0
    limits = (
        {"vmin": -largest, "vmax": largest, "cmap": "RdBu"} if is_change else {"cmap": "cividis"}
    )
    image = axes.imshow(np.ma.masked_invalid(numbers), aspect="auto", **limits)
    axes.grid(visible=False)
    ticks = [plain(str(name)) for name in values.columns]
    axes.set_xticks(range(len(ticks)), ticks, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(values)), [plain(str(name)) for name in values.index])
    for (row, column), number in np.ndenumerate(numbers):
        if np.isfinite(number):
            shade = image.cmap(image.norm(number))[:3]
            color = "black" if np.dot(shade, (0.299, 0.587, 0.114)) > 0.5 else "white"
            text = f"{number:+.1f}" if is_change else f"{number:.1f}"
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=7.5)
    canvas.colorbar(image, ax=axes, shrink=0.8)
