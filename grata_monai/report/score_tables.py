# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tables of all measures: by source, by target, and of single seeds."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from grata_monai.benchmark.results import AVERAGE
from grata_monai.report.analysis import Analysis
from grata_monai.report.frames import records
from grata_monai.report.score_fields import (
    MEASURES,
    best_of,
    how_averaged,
    mean_cell,
    method_cells,
    method_columns,
    row_keys,
)
from grata_monai.report.table import Cell, Column, Row, Table, number_cell, text_cell

_WORSE = Column("Worse", "worse", "Images with a lower Dice than without adaptation")
_IMAGES = Column("Images", "images", "Images per seed that went into the means")
_FAILED = Column("Failed", "failed", "Images, of all seeds, for which there is no result")


def source_table(analysis: Analysis, protocol: str) -> Table:
    """Return all measures by source and method.

    Args:
        analysis: Of the run.
        protocol: Whose scores.
    """
    means = analysis.by_source[analysis.by_source["protocol"] == protocol]
    return _measures_table(
        analysis,
        means,
        f"scores_{protocol}",
        f"All measures by source, protocol {protocol}",
        how_averaged(analysis, protocol),
    )


def target_table(analysis: Analysis, protocol: str) -> Table:
    """Return all measures by source, target and method.

    Args:
        analysis: Of the run.
        protocol: Whose scores.
    """
    means = analysis.by_target[analysis.by_target["protocol"] == protocol]
    title = f"All measures by source and target, protocol {protocol}"
    return _measures_table(analysis, means, f"targets_{protocol}", title, "Means over images.")


def cells_table(analysis: Analysis, protocol: str) -> Table:
    """Return the Dice of every target and seed, without averaging over seeds.

    Args:
        analysis: Of the run.
        protocol: Whose scores.
    """
    part = analysis.cells[analysis.cells["protocol"] == protocol]
    columns = [
        Column("Source", "source", numeric=False),
        Column("Target", "target", numeric=False),
        *method_columns(analysis),
        Column("Seed", "seed"),
        *(Column(title, name, text) for name, title, _, _, text in MEASURES[:3]),
        _IMAGES,
    ]
    rows = []
    for record in records(part):
        method, number, seed = str(record["method"]), int(record["round"]), int(record["seed"])
        cells = [
            text_cell(str(record["source"])),
            text_cell(str(record["target"])),
            *method_cells(analysis, method, number),
            number_cell(seed, digits=0),
            *(number_cell(record[name], digits=digits) for name, _, digits, _, _ in MEASURES[:3]),
            number_cell(record["images"], digits=0),
        ]
        rows.append(Row(tuple(cells), {**row_keys(record), "seed": str(seed)}))
    title = f"Single seeds, protocol {protocol}"
    return Table(f"seeds_{protocol}", title, tuple(columns), tuple(rows))


def _measures_table(
    analysis: Analysis, means: pd.DataFrame, name: str, title: str, note: str
) -> Table:
    has_target = "target" in means.columns
    names = ["Source", "Target"] if has_target else ["Source"]
    columns = [Column(text, text.lower(), numeric=False) for text in names]
    columns += method_columns(analysis)
    start = len(columns)
    columns += [Column(text, key, tip) for key, text, _, _, tip in MEASURES]
    with_worse = not has_target and not analysis.harm.empty
    columns += [*([_WORSE] if with_worse else []), _IMAGES, _FAILED]
    rows = []
    for record in records(means):
        method, number = str(record["method"]), int(record["round"])
        cells = [text_cell(str(record[text.lower()])) for text in names]
        cells += method_cells(analysis, method, number)
        cells += [
            mean_cell(record, key, digits, with_spread=largest is not None)
            for key, _, digits, largest, _ in MEASURES
        ]
        if with_worse:
            cells.append(_worse_cell(analysis, record))
        cells.append(number_cell(record["images"] / record["seeds"], digits=0))
        cells.append(number_cell(record["failed_images"], digits=0))
        rows.append(Row(tuple(cells), row_keys(record)))
    groups = ["source", "target", "round"]
    for index, (_, _, _, largest, _) in enumerate(MEASURES):
        if largest is not None:
            rows = best_of(rows, start + index, groups, largest=largest)
    return Table(name, title, tuple(columns), tuple(rows), note)


def _worse_cell(analysis: Analysis, record: Mapping[str, object]) -> Cell:
    """Return how many of the images of all streams of a source became worse."""
    harm = analysis.harm
    here = (harm["protocol"] == record["protocol"]) & (harm["method"] == record["method"])
    here &= harm["round"] == record["round"]
    if record["source"] != AVERAGE:
        here &= harm["source"] == record["source"]
    worse, images = int(harm.loc[here, "worse"].sum()), int(harm.loc[here, "images"].sum())
    if not images:
        return number_cell(None)
    return Cell(float(worse), f"{worse} of {images} ({100 * worse / images:.0f} %)")
