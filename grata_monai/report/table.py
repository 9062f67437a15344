# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A table before it is Markdown, LaTeX, CSV or HTML: numbers, their spread, how to show them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

NONE = "–"


@dataclass(frozen=True)
class Cell:
    """One field of a table.

    Args:
        value: What is sorted by and written to CSV; None or NaN where there is nothing.
        text: What is shown.
        spread: Standard deviation over seeds, for CSV; None if there is none.
        best: Whether it is the best of its group and shown so.
    """

    value: float | str | None
    text: str
    spread: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Column:
    """A column's heading.

    Args:
        title: What stands above it.
        name: Its name in CSV.
        help: One line on what it is.
        numeric: Whether it is set to the right.
    """

    title: str
    name: str
    help: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Row:
    """Cells, and what filters of the page know the row by (source, target, method, ...)."""

    cells: tuple[Cell, ...]
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table with its title.

    Args:
        name: Of its files.
        title: One line above it.
        columns: Headings.
        rows: As long as ``columns`` each.
        note: How to read it.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""


def text_cell(text: str) -> Cell:
    """Return a field with a name in it."""
    return Cell(text, text)


def number_cell(
    value: float | None, *, digits: int = 2, spread: float | None = None, sign: bool = False
) -> Cell:
    """Return a field with a number, and ± its spread if that is known.

    Args:
        value: The number; None or NaN show as a dash.
        digits: After the point.
        spread: Standard deviation; None or NaN are not shown.
        sign: Write + before positive numbers.

    Example:
        >>> number_cell(74.336, spread=0.5).text
        '74.34 ± 0.50'
        >>> number_cell(1.0, digits=1, sign=True).text
        '+1.0'
        >>> number_cell(float("nan")).text
        '–'
    """
    if value is None or not math.isfinite(value):
        return Cell(None, NONE)
    shown = f"{value:{'+' if sign else ''}.{digits}f}"
    if digits == 0 and float(value).is_integer():
        value = int(value)
    if spread is None or not math.isfinite(spread):
        return Cell(value, shown)
    return Cell(value, f"{shown} ± {spread:.{digits}f}", float(spread))


def mark_best(rows: Sequence[Row], column: int, *, largest: bool) -> list[Row]:
    """Return the rows with the best number of a column marked; ties, as shown, are all marked.

    Nothing is marked where fewer than two rows have a number.
    """
    shown = [_shown(row.cells[column]) for row in rows]
    numbers = [number for number in shown if number is not None]
    if len(numbers) < 2:
        return list(rows)
    best = max(numbers) if largest else min(numbers)
    return [
        _with_best(row, column) if number == best else row
        for row, number in zip(rows, shown, strict=True)
    ]


def group_rows(rows: Iterable[Row], keys: Sequence[str]) -> list[list[Row]]:
    """Return the rows in groups of equal keys, in the order in which the groups begin."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.keys.get(key, "") for key in keys), []).append(row)
    return list(groups.values())


def _shown(cell: Cell) -> float | None:
    """Return the number as it is shown, without its spread."""
    return float(cell.text.split(" ")[0]) if isinstance(cell.value, int | float) else None


def _with_best(row: Row, column: int) -> Row:
    cell = row.cells[column]
    marked = Cell(cell.value, cell.text, cell.spread, best=True)
    return Row((*row.cells[:column], marked, *row.cells[column + 1 :]), row.keys)
