# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How all figures look and how they are saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from grata_monai._files import atomic_path

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F6A00", "#555555")
"""Okabe and Ito's colors, which the color-blind tell apart; black is the baseline's."""

DASHES = ("-", "--", ":", "-.")

DPI = 130

_SETTINGS: dict[str, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "none",
}


Drawn: TypeAlias = "tuple[str, str, tuple[Path, ...]]"
"""A figure's name, a description of it, and its files, PNG first."""


@dataclass(frozen=True)
class Line:
    """How a method is drawn everywhere."""

    color: str
    dash: str = "-"
    width: float = 1.3


def method_lines(methods: Sequence[str], baseline: str | None, focus: str) -> dict[str, Line]:
    """Return a color and a dash for every method, different for up to 32 of them.

    The method that does not adapt is black and dashed, the one in focus thick and of the first
    color.
    """
    lines = {}
    others = [name for name in methods if name not in {baseline, focus}]
    others = [focus, *others] if focus in methods and focus != baseline else others
    for index, name in enumerate(others):
        dash = DASHES[index // len(COLORS) % len(DASHES)]
        lines[name] = Line(COLORS[index % len(COLORS)], dash, 2.4 if name == focus else 1.3)
    if baseline is not None:
        lines[baseline] = Line("#000000", "--", 1.6)
    return {name: lines[name] for name in methods}


def _settings() -> AbstractContextManager[None]:
    known: Any = _SETTINGS  # matplotlib's types would have each name spelled out
    return mpl.rc_context(known)


def new_canvas(width: float, height: float) -> Canvas:
    """Return an empty figure of a size in inches."""
    with _settings():
        return Canvas(figsize=(width, height), layout="constrained")


def add_legend(canvas: Canvas, lines: Mapping[str, Line]) -> None:
    """Write which line is what to the right of all axes."""
    handles = [
        Line2D([], [], color=line.color, ls=line.dash, lw=line.width, label=plain(name))
        for name, line in lines.items()
    ]
    with _settings():
        canvas.legend(handles=handles, loc="outside right center", fontsize=8)


def plain(text: str) -> str:
    r"""Return a name that matplotlib does not read as a formula.

    Example:
        >>> print(plain("a$b$"))
        a\$b\$
    """
    return text.replace("$", r"\$")


def save(canvas: Canvas, folder: Path, name: str) -> tuple[Path, ...]:
    """Write a figure as PNG and PDF without dates, so that the same run gives the same files.

    Raises:
        OSError: If the folder cannot be written.
    """
    written = []
    for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
        path = folder / f"{name}{suffix}"
        with atomic_path(path) as temporary, _settings():
            canvas.savefig(temporary, format=suffix[1:], dpi=DPI, metadata=metadata)
        written.append(path)
    return tuple(written)


def axes_grid(canvas: Canvas, count: int, columns: int) -> list[Axes]:
    """Return ``count`` axes in rows of ``columns``; what is left of the last row stays empty."""
    columns = min(columns, count)
    with _settings():
        rows = -(-count // columns)
        grid = canvas.subplots(rows, columns, squeeze=False)
    flat = list(grid.flat)
    for axes in flat[count:]:
        axes.set_axis_off()
    return flat[:count]
