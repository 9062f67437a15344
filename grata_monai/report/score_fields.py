# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Columns and fields that several tables of scores share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grata_monai.benchmark.results import ALL_TARGETS
from grata_monai.report.analysis import Analysis
from grata_monai.report.table import (
    Cell,
    Column,
    Row,
    group_rows,
    mark_best,
    number_cell,
    text_cell,
)

# column of the rows, title, digits, whether large is good (None: not compared), explanation
MEASURES: tuple[tuple[str, str, int, bool | None, str], ...] = (
    ("dice", "Dice", 2, True, "Mean of disc and cup, in points"),
    ("dice_disc", "Dice disc", 2, True, "Optic disc with the cup, in points"),
    ("dice_cup", "Dice cup", 2, True, "Optic cup, in points"),
    ("assd_disc", "ASSD disc", 2, False, "Average symmetric surface distance in px of the input"),
    ("assd_cup", "ASSD cup", 2, False, "Average symmetric surface distance in px of the input"),
    ("vcdr_error", "vCDR error", 3, False, "Absolute error of the vertical cup-to-disc ratio"),
    ("seconds", "s/image", 3, None, "Seconds to adapt to an image and predict it"),
    ("memory_mb", "MB", 0, None, "Peak memory: of the process on a CPU, of tensors on a GPU"),
)


def method_columns(analysis: Analysis) -> list[Column]:
    """Return the columns that say which method, and which round if there are several."""
    columns = [Column("Method", "method", numeric=False)]
    if analysis.has_rounds:
        columns.append(Column("Round", "round", "Pass over the stream"))
    return columns


def method_cells(analysis: Analysis, method: str, number: int) -> list[Cell]:
    """Return the fields of ``method_columns``."""
    rounds = [number_cell(number, digits=0)] if analysis.has_rounds else []
    return [text_cell(method), *rounds]


def mean_cell(
    record: Mapping[str, object], name: str, digits: int, *, with_spread: bool = True
) -> Cell:
    """Return the field of a mean, and of its spread over seeds if that is wanted and known."""
    mean, spread = record.get(name), record.get(f"{name}_std")
    if not isinstance(mean, int | float):
        return number_cell(None)
    known = spread if isinstance(spread, float) and with_spread else None
    return number_cell(mean, digits=digits, spread=known)


def row_keys(record: Mapping[str, object]) -> dict[str, str]:
    """Return what filters know a row by; an average belongs to no source or target of its own."""
    names = ("protocol", "source", "target", "method", "round")
    return {name: str(record[name]) for name in names if name in record}


def best_of(rows: list[Row], column: int, groups: Sequence[str], *, largest: bool) -> list[Row]:
    """Return the rows in their order, the best number of a column marked in each group."""
    marked = {}
    for group in group_rows(rows, groups):
        for before, after in zip(group, mark_best(group, column, largest=largest), strict=True):
            marked[id(before)] = after
    return [marked[id(row)] for row in rows]


def how_averaged(analysis: Analysis, protocol: str) -> str:
    """Return in words what the means of a protocol are."""
    streams = analysis.by_source.loc[analysis.by_source["protocol"] == protocol, "stream"]
    over = (
        "means over the images of a target, then over targets"
        if (streams == ALL_TARGETS).any()
        else "means over all images of the stream"
    )
    seeds = len(analysis.run.seeds)
    spread = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    return f"Dice in points, distances in px; {over}; {spread}."
