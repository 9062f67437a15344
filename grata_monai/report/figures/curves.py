# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Curves over a stream of images: Dice, and what the adaptation did (cosine, learning rate)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from grata_monai.benchmark.names import file_name
from grata_monai.report.figures.canvas import (
    Drawn,
    Line,
    add_legend,
    axes_grid,
    new_canvas,
    plain,
    save,
)
from grata_monai.report.run import Run

ALIGNED, PLAIN = "diag_empirical_cosine", "diag_empirical_cosine_plain"
"""Cosine of the labels' gradient with the pseudo gradient, with alignment and without it."""

_PANEL = (4.2, 2.7)
_COSINES = (-1.05, 1.05)


@dataclass(frozen=True)
class Curve:
    """A quantity to draw over the stream.

    Args:
        column: Of the rows.
        name: Of the figure's file.
        label: Of the vertical axis.
        bounds: Of the vertical axis, where they are known.
    """

    column: str
    name: str
    label: str
    bounds: tuple[float, float] | None = None


DICE = Curve("dice", "stream_dice", "mean Dice")
COSINE = Curve("trace_cosine", "trace_cosine", "cosine of the two gradients", _COSINES)
RATE = Curve("trace_learning_rate", "trace_learning_rate", "learning rate η")
GRADIENT = Curve(ALIGNED, "gradient_cosine", "cosine with the labels' gradient", _COSINES)


def rolling_window(length: int) -> int:
    """Return how many images the mean goes over: a tenth of the stream, 3 to 50.

    Example:
        >>> rolling_window(12), rolling_window(200), rolling_window(2000)
        (3, 20, 50)
    """
    return int(np.clip(length // 10, 3, 50))


def stream_mean(rows: pd.DataFrame, column: str) -> pd.Series:
    """Return the rolling mean of a quantity by position, averaged over seeds first.

    It ends at the position. Images without the quantity are passed over; at the start the mean
    goes over fewer images.
    """
    by_position = rows.groupby("position")[column].mean()
    return by_position.rolling(rolling_window(len(by_position)), min_periods=1).mean()


def draw_curve(run: Run, curve: Curve, lines: Mapping[str, Line], folder: Path) -> list[Drawn]:
    """Draw one figure per protocol and source, one panel per stream; none without numbers.

    Args:
        run: The run.
        curve: What to draw.
        lines: Methods and how they are drawn.
        folder: Where the files go.
    """

    def draw(axes: Axes, rows: pd.DataFrame) -> None:
        for method, line in lines.items():
            part = rows[rows["method"] == method]
            if len(part):
                _plot(axes, stream_mean(part, curve.column), line)

    return _per_source(run, curve, draw, lines, folder)


def draw_gradient_cosines(run: Run, lines: Mapping[str, Line], folder: Path) -> list[Drawn]:
    """Draw how well the step's gradient agrees with that of the labels (the paper's Figure 4).

    Methods whose gradient is aligned have two lines, the dotted one without the alignment.

    Args:
        run: The run, with diagnostics; without them nothing is drawn.
        lines: Methods and how they are drawn.
        folder: Where the files go.
    """
    if not {ALIGNED, PLAIN} <= set(run.rows.columns):
        return []
    differs = (run.rows[ALIGNED] - run.rows[PLAIN]).abs() > 1e-9
    aligned = set(run.rows.loc[differs, "method"])
    both: dict[str, Line] = {}
    for method, line in lines.items():
        both[method] = line
        if method in aligned:
            both[f"{method}, not aligned"] = Line(line.color, ":", line.width)

    def draw(axes: Axes, rows: pd.DataFrame) -> None:
        for method, line in lines.items():
            part = rows[rows["method"] == method]
            if len(part):
                _plot(axes, stream_mean(part, ALIGNED), line)
            if len(part) and method in aligned:
                _plot(axes, stream_mean(part, PLAIN), both[f"{method}, not aligned"])

    return _per_source(run, GRADIENT, draw, both, folder)


def _per_source(
    run: Run,
    curve: Curve,
    draw: Callable[[Axes, pd.DataFrame], None],
    lines: Mapping[str, Line],
    folder: Path,
) -> list[Drawn]:
    if curve.column not in run.rows:
        return []
    drawn = []
    rows = run.rows[run.rows[curve.column].notna()]
    for (protocol, source), part in rows.groupby(["protocol", "source"], sort=False):
        streams = list(part.groupby("stream", sort=False))
        columns = min(2, len(streams))
        height = _PANEL[1] * -(-len(streams) // columns)
        canvas = new_canvas(_PANEL[0] * columns + 1.6, height + 0.3)
        for axes, (stream, of_stream) in zip(
            axes_grid(canvas, len(streams), columns), streams, strict=True
        ):
            draw(axes, of_stream)
            _finish(axes, of_stream, curve, f"{source} → {stream}")
        present = set(part["method"])
        shown = {n: line for n, line in lines.items() if n.split(", not aligned")[0] in present}
        add_legend(canvas, shown)
        name = f"{curve.name}_{file_name(str(protocol))}_{file_name(str(source))}"
        text = (
            f"{curve.label} over the images of the stream (rolling mean), source {source}, "
            f"protocol {protocol}, mean over seeds"
        )
        drawn.append((name, text[0].upper() + text[1:], save(canvas, folder, name)))
    return drawn


def _plot(axes: Axes, values: pd.Series, line: Line) -> None:
    positions = values.index.to_numpy() + 1
    marker = "o" if len(positions) == 1 else ""
    axes.plot(
        positions,
        values.to_numpy(),
        color=line.color,
        ls=line.dash,
        lw=line.width,
        marker=marker,
        zorder=2.0 if line.width > 2 else 2.5,  # thin lines stay visible on the thick one
    )


def _finish(axes: Axes, rows: pd.DataFrame, curve: Curve, title: str) -> None:
    for boundary in _boundaries(rows):
        axes.axvline(boundary, color="#999999", lw=0.8)
    axes.set_title(plain(title), fontsize=9)
    axes.set_xlabel("image of the stream")
    axes.set_ylabel(curve.label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if curve.bounds:
        axes.set_ylim(*curve.bounds)


def _boundaries(rows: pd.DataFrame) -> list[float]:
    """Return where a new round begins, and a new target if the targets come one after another."""
    first = rows.drop_duplicates("position").sort_values("position")
    keys = ["round"] if first["protocol"].iloc[0] == "mixed" else ["round", "target"]
    keys = [key for key in keys if key in first]
    changed = (first[keys] != first[keys].shift()).any(axis=1)
    return [float(p) + 0.5 for p in first.loc[changed, "position"] if p > 0]
