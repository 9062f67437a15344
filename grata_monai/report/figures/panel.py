# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Methods side by side on a few images, with outlines and boxes around the true disc (Figure 3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from grata_monai.imaging.overlay import CUP_COLOR, DISC_COLOR, TRUTH_COLOR
from grata_monai.report.figures.canvas import Drawn, axes_grid, new_canvas, plain, save
from grata_monai.report.gallery import inside, last_round
from grata_monai.report.outlines import outlines, read_labels, read_picture
from grata_monai.report.run import Run

MOST_IMAGES = 5
MOST_METHODS = 12
_TILE = 1.75


def draw_panel(run: Run, changes: pd.Series, focus: str, folder: Path) -> list[Drawn]:
    """Draw images (rows) x methods (columns) of the first protocol and seed.

    The images are taken evenly from the list ordered by what the method in focus changes: the
    first has the largest gain, the last the largest loss.

    Args:
        run: The run, with pictures.
        changes: Per row of the run, its Dice minus that of No Adapt.
        focus: Method whose change chooses the images.
        folder: Where the files go.

    Returns:
        Name, a description and files; nothing if the run kept no pictures.
    """
    rows = last_round(run.rows.assign(change=changes))
    rows = rows[(rows["protocol"] == run.protocols[0]) & (rows["seed"] == run.seeds[0])]
    rows = rows[[inside(run.folder, name) is not None for name in rows["picture"]]]
    chosen = _choose(rows[rows["method"] == focus])
    if not chosen:
        return []
    methods = _columns(run, focus)
    width, height = _TILE * (len(methods) + 1), _TILE * len(chosen)
    canvas = new_canvas(width, height + 0.6)
    panels = axes_grid(canvas, len(chosen) * (len(methods) + 1), len(methods) + 1)
    for index, key in enumerate(chosen):
        of_image = rows[(rows["source"] == key[0]) & (rows["image"] == key[1])]
        line = panels[index * (len(methods) + 1) : (index + 1) * (len(methods) + 1)]
        _draw_row(run, line, of_image, methods)
    for axes, title in zip(panels, ["ground truth", *methods], strict=False):
        axes.set_title(plain(title), fontsize=9)
    text = (
        "Outlines of disc (green) and cup (blue) by method, and the box around the true disc "
        f"(white); images from the largest gain to the largest loss of {focus}. Numbers: Dice of "
        "disc / cup"
    )
    return [("panel", text, save(canvas, folder, "panel"))]


def _choose(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (source, image) evenly over the images ordered by change, or by Dice without one."""
    column = "change" if rows["change"].notna().any() else "dice"
    ordered = rows.dropna(subset=[column]).sort_values(column, ascending=False, kind="stable")
    ordered = ordered.drop_duplicates(["source", "image"])
    places = np.linspace(0, len(ordered) - 1, min(MOST_IMAGES, len(ordered))).round().astype(int)
    pairs = ordered[["source", "image"]].itertuples(index=False, name=None)
    listed = [(str(source), str(image)) for source, image in pairs]
    return [listed[place] for place in places]


def _columns(run: Run, focus: str) -> list[str]:
    """Return the methods to show, the one in focus among them."""
    names = list(run.methods)
    if len(names) <= MOST_METHODS:
        return names
    return [*[name for name in names if name != focus][: MOST_METHODS - 1], focus]


def _draw_row(run: Run, line: Sequence[Axes], rows: pd.DataFrame, methods: Sequence[str]) -> None:
    first = rows.iloc[0]
    picture = np.asarray(read_picture(run.folder / first["picture"], "RGB"))
    truth = _labels(run, first["truth"])
    for axes in line:
        axes.imshow(picture)
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        if truth is not None:
            _draw_box(axes, truth)
    if truth is not None:
        _draw_outlines(line[0], truth)
    line[0].set_ylabel(plain(f"{first['source']} → {first['target']}"), fontsize=8)
    for axes, method in zip(line[1:], methods, strict=True):
        found = rows[rows["method"] == method]
        labels = _labels(run, found["prediction"].iloc[0]) if len(found) else None
        if labels is None:
            axes.set_xlabel("not kept" if len(found) else "not run", fontsize=8)
            continue
        _draw_outlines(axes, labels)
        row = found.iloc[0]
        axes.set_xlabel(f"{row['dice_disc']:.1f} / {row['dice_cup']:.1f}", fontsize=8)


def _labels(run: Run, name: object) -> npt.NDArray[np.uint8] | None:
    path = inside(run.folder, name)
    return None if path is None else read_labels(path)


def _draw_outlines(axes: Axes, labels: npt.NDArray[np.uint8]) -> None:
    for region, color in ((labels >= 1, DISC_COLOR), (labels == 2, CUP_COLOR)):
        for polygon in outlines(region):
            x, y = (polygon - 0.5).T  # pixel centers of a picture lie at whole numbers
            axes.plot(x, y, color=np.array(color) / 255, lw=1.2)


def _draw_box(axes: Axes, truth: npt.NDArray[np.uint8]) -> None:
    rows, columns = np.nonzero(truth >= 1)
    if not len(rows):
        return
    corner = (columns.min() - 0.5, rows.min() - 0.5)
    width, height = float(np.ptp(columns)) + 1, float(np.ptp(rows)) + 1
    color = np.array(TRUTH_COLOR) / 255
    axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=color, lw=0.9, ls="--"))
