# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Which tables a report has, under which headings."""

from __future__ import annotations

from grata_monai.report.analysis import Analysis
from grata_monai.report.comparisons import comparison_table, harm_table
from grata_monai.report.html import Section
from grata_monai.report.objective_matrix import objective_matrix
from grata_monai.report.overview import overview_table
from grata_monai.report.score_tables import cells_table, source_table, target_table
from grata_monai.report.table import Table


def build_sections(analysis: Analysis) -> list[Section]:
    """Return all tables that the run has numbers for; one of each kind per protocol.

    Args:
        analysis: Of the run.
    """
    protocols = analysis.run.protocols
    results: list[Table | None] = []
    for protocol in protocols:
        results += [
            overview_table(analysis, protocol),
            objective_matrix(analysis, protocol),
            source_table(analysis, protocol),
        ]
    tests = [comparison_table(analysis, protocol) for protocol in protocols]
    harm = [harm_table(analysis, protocol) for protocol in protocols]
    targets: list[Table | None] = [target_table(analysis, protocol) for protocol in protocols]
    if len(analysis.run.seeds) > 1:
        targets += [cells_table(analysis, protocol) for protocol in protocols]
    return [
        _section("results", "Results", results),
        _section("tests", "Tests", tests),
        _section("harm", "Harm", harm),
        _section("targets", "Targets", targets),
    ]


def _section(name: str, title: str, tables: list[Table | None]) -> Section:
    return Section(name, title, [table for table in tables if table is not None])
