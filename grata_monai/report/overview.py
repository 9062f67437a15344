# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The table as in the paper: methods x source domains, with the paper's numbers beside ours."""

from __future__ import annotations

from grata_monai.benchmark.results import AVERAGE
from grata_monai.report.analysis import Analysis
from grata_monai.report.frames import records
from grata_monai.report.paper_numbers import PaperNumbers
from grata_monai.report.score_fields import (
    best_of,
    how_averaged,
    mean_cell,
    method_cells,
    method_columns,
)
from grata_monai.report.table import Column, Row, Table, number_cell


def overview_table(analysis: Analysis, protocol: str) -> Table:
    """Return methods x sources, as in the paper, with the paper's numbers beside ours.

    Args:
        analysis: Of the run.
        protocol: Whose scores.
    """
    overview = _Overview(analysis, protocol)
    columns = overview.columns()
    rows = [overview.row(method, number) for method, number in overview.lines]
    for index, column in enumerate(columns):
        if column.numeric and column.name not in {"round", "change"}:
            rows = best_of(rows, index, ["round"], largest=True)
    return Table(
        f"overview_{protocol}",
        f"Dice by source domain, protocol {protocol}",
        tuple(columns),
        tuple(rows),
        f"{how_averaged(analysis, protocol)} {overview.paper.note}".rstrip(),
    )


class _Overview:
    """What the rows of the table need to know.

    Args:
        analysis: Of the run.
        protocol: Whose scores.
    """

    def __init__(self, analysis: Analysis, protocol: str) -> None:
        means = analysis.by_source[analysis.by_source["protocol"] == protocol]
        present = set(zip(means["method"], means["round"], strict=True))
        rounds = sorted({int(number) for _, number in present})
        methods = analysis.run.methods
        self.analysis = analysis
        self.protocol = protocol
        self.lines = [(m, r) for m in methods for r in rounds if (m, r) in present]
        self.sources = [str(name) for name in dict.fromkeys(means["source"])]
        self.paper = PaperNumbers(analysis.run, protocol)
        self.with_paper = [
            source
            for source in self.sources
            if any(self.paper.of(m, source, r) is not None for m, r in self.lines)
        ]
        self.with_average = any(self.paper.average(m, r) is not None for m, r in self.lines)
        self.compared = AVERAGE if AVERAGE in self.sources else self.sources[0]
        self._found = {(r["method"], r["round"], r["source"]): r for r in records(means)}

    def columns(self) -> list[Column]:
        """Return the headings."""
        columns = method_columns(self.analysis)
        for source in self.sources:
            text = "Mean over the sources" if source == AVERAGE else f"Dice, source {source}"
            columns.append(Column(source, source, text))
            if source in self.with_paper:
                columns.append(Column("paper", f"{source}_paper", f"Published for {source}"))
        base = self.analysis.run.baseline
        if base:
            columns.append(Column("Change", "change", f"Of Dice from {base}, {self.compared}"))
        if self.with_average:
            text = "Published average over the paper's five source domains"
            columns.append(Column("paper, average of 5", "paper_average", text))
        return columns

    def row(self, method: str, number: int) -> Row:
        """Return the row of a method and round."""
        cells = method_cells(self.analysis, method, number)
        for source in self.sources:
            cells.append(mean_cell(self._found.get((method, number, source), {}), "dice", 2))
            if source in self.with_paper:
                cells.append(number_cell(self.paper.of(method, source, number)))
        base = self.analysis.run.baseline
        if base:
            pair = [self._found.get((m, number, self.compared)) for m in (method, base)]
            both = [record["dice"] for record in pair if record is not None]
            cells.append(number_cell(both[0] - both[1] if len(both) == 2 else None, sign=True))
        if self.with_average:
            cells.append(number_cell(self.paper.average(method, number)))
        keys = {"protocol": self.protocol, "method": method, "round": str(number)}
        return Row(tuple(cells), keys)
