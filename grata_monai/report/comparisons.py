# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tables that compare methods image by image: tests, and how many images became worse."""

from __future__ import annotations

import math
from collections.abc import Mapping

from grata_monai.benchmark.harm import MARGIN
from grata_monai.report.analysis import Analysis
from grata_monai.report.frames import records
from grata_monai.report.score_fields import method_cells, method_columns
from grata_monai.report.table import Cell, Column, Row, Table, number_cell, text_cell

_SMALLEST_P = 0.001
_STREAM = (
    Column("Source", "source", numeric=False),
    Column("Stream", "stream", "Target, or targets one after the other", numeric=False),
)


def comparison_table(analysis: Analysis, protocol: str) -> Table | None:
    """Return the tests against No Adapt and PTBN; None if there is nothing to compare.

    Args:
        analysis: Of the run.
        protocol: Whose images.
    """
    tests = analysis.tests[analysis.tests["protocol"] == protocol]
    if tests.empty:
        return None
    columns = (
        *_STREAM,
        *method_columns(analysis),
        Column("Against", "baseline", numeric=False),
        Column("Images", "images", "Images with a score of both"),
        Column("Change", "difference", "Mean difference of Dice per image"),
        Column("95 % from", "low", "Lower end of the BCa bootstrap interval of the mean"),
        Column("to", "high", "Upper end"),
        Column("p", "p", "Wilcoxon's signed-rank test, two-sided"),
        Column("p (Holm)", "p_holm", "After Holm's correction over all tests of the stream"),
        Column("Effect", "rank_biserial", "Matched-pairs rank-biserial correlation, -1 to 1"),
    )
    rows = []
    for record in records(tests):
        cells = [
            *_stream_cells(analysis, record),
            text_cell(str(record["baseline"])),
            number_cell(record["images"], digits=0),
            *(number_cell(record[name], sign=True) for name in ("difference", "low", "high")),
            p_cell(record["p"]),
            p_cell(record["p_holm"], level=0.05),
            number_cell(record["rank_biserial"], sign=True),
        ]
        rows.append(Row(tuple(cells), _keys(record)))
    return Table(
        f"tests_{protocol}",
        f"Is the difference more than chance? Protocol {protocol}",
        columns,
        tuple(rows),
        "Paired over images, scores averaged over seeds first. Bold: p below 0.05 after Holm's "
        "correction. Images that a method adapts to one after the other are not independent, so "
        "p values are a guide.",
    )


def harm_table(analysis: Analysis, protocol: str) -> Table | None:
    """Return how many images became worse than No Adapt; None without that method.

    Args:
        analysis: Of the run.
        protocol: Whose images.
    """
    harm = analysis.harm[analysis.harm["protocol"] == protocol]
    if harm.empty:
        return None
    margin = f"{MARGIN:g}"
    columns = (
        *_STREAM,
        *method_columns(analysis),
        Column("Images", "images", "Images with a score of both"),
        Column("Worse", "worse", "Images whose Dice became lower at all"),
        Column(f"by > {margin}", "worse_by_margin", f"By more than {margin} point"),
        Column("Better", "better", "Images whose Dice became higher at all"),
        Column(f"by > {margin} ", "better_by_margin", f"By more than {margin} point"),
        Column("Worst drop", "worst_drop", "Change of the image that lost most"),
        Column("Worst 5 %", "mean_of_worst", "Mean change of the worst 5 % of the images"),
        Column("Worst image", "worst_image", numeric=False),
    )
    rows = []
    for record in records(harm):
        counts = ("images", "worse", "worse_by_margin", "better", "better_by_margin")
        cells = [
            *_stream_cells(analysis, record),
            *(number_cell(record[name], digits=0) for name in counts),
            *(number_cell(record[name], sign=True) for name in ("worst_drop", "mean_of_worst")),
            text_cell(str(record["worst_image"])),
        ]
        rows.append(Row(tuple(cells), _keys(record)))
    return Table(
        f"harm_{protocol}",
        f"Images that became worse than {analysis.run.baseline}, protocol {protocol}",
        columns,
        tuple(rows),
        "Dice of disc and cup, averaged over seeds first.",
    )


def p_cell(value: float, *, level: float = 0.0) -> Cell:
    """Return the field of a p value; bold below a level.

    Example:
        >>> p_cell(0.0004).text, p_cell(0.25).text, p_cell(float("nan")).text
        ('< 0.001', '0.250', '–')
    """
    if not math.isfinite(value):
        return number_cell(None)
    shown = f"< {_SMALLEST_P}" if value < _SMALLEST_P else f"{value:.3f}"
    return Cell(float(value), shown, best=value < level)


def _stream_cells(analysis: Analysis, record: Mapping[str, object]) -> list[Cell]:
    method, number = str(record["method"]), int(str(record["round"]))
    names = [text_cell(str(record["source"])), text_cell(str(record["stream"]))]
    return [*names, *method_cells(analysis, method, number)]


def _keys(record: Mapping[str, object]) -> dict[str, str]:
    """Return what filters know a row by; a stream of several targets belongs to none of them."""
    keys = {name: str(record[name]) for name in ("protocol", "source", "method")}
    stream = str(record["stream"])
    return keys if "+" in stream else {**keys, "target": stream}
