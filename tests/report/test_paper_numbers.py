# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's numbers stand beside those they are comparable with, and beside no others."""

from __future__ import annotations

import pytest

from grata_monai.report import read_run
from grata_monai.report.analysis import analyse
from grata_monai.report.objective_matrix import objective_matrix
from grata_monai.report.overview import overview_table
from grata_monai.report.paper_numbers import PaperNumbers

FIVE = ("RIM_ONE_r3", "REFUGE", "ORIGA", "REFUGE_Valid", "Drishti_GS")
PAIRS = (
    ("No Adapt", "source", {}),
    ("pse con / aux ent", "grata", {"pseudo": "consistency", "auxiliary": "entropy"}),
    ("pse ent / aux con", "grata", {"pseudo": "entropy", "auxiliary": "consistency"}),
    ("pse rot / aux den", "grata", {"pseudo": "rotation", "auxiliary": "denoising"}),
)


def run_of(make_run, **settings):
    quick = {"targets": ("Drishti_GS",), "images": 1, "seeds": (0,), "size": 24}
    return read_run(make_run(pictures=False, **{**quick, **settings}))


def test_table_1_by_source(make_run):
    run = run_of(
        make_run, preset="paper-table1", sources=("REFUGE_Valid", "Drishti_GS"), targets=("ORIGA",)
    )
    numbers = PaperNumbers(run, "grata")
    assert numbers.of("GraTa", "REFUGE_Valid") == 66.84
    assert numbers.of("No Adapt", "Drishti_GS") == 68.88
    assert numbers.average("GraTa") == 74.34
    assert numbers.average("GraTa", 2) is None
    assert numbers.average("PTBN") is None
    assert numbers.of("GraTa", "average") is None
    assert numbers.of("GraTa", "another source") is None


def test_other_presets_and_protocols_have_none(make_run):
    run = run_of(make_run, preset="smoke")
    assert PaperNumbers(run, "grata").of("GraTa", "REFUGE") is None
    run = run_of(make_run, name="two", preset="paper-table1")
    assert PaperNumbers(run, "vptta").of("GraTa", "REFUGE") is None


def test_all_methods_are_compared_only_with_their_defaults(make_run):
    methods = (("GraTa", "grata", {"mapping": "linear"}), ("TENT", "tent", {}))
    run = run_of(make_run, preset="all-methods", methods=methods)
    numbers = PaperNumbers(run, "grata")
    assert numbers.of("GraTa", "REFUGE") is None
    assert numbers.of("TENT", "REFUGE") == 78.55


def test_rounds_of_the_continual_table(make_run):
    methods = (("No Adapt", "source", {}), ("TENT", "tent", {}))
    run = run_of(
        make_run, preset="continual", methods=methods, protocols=("vptta",), rounds=3, sources=FIVE
    )
    numbers = PaperNumbers(run, "vptta")
    assert [numbers.average("TENT", r) for r in (1, 2, 3, 4)] == [68.13, 61.86, 59.02, None]
    assert numbers.of("TENT", "REFUGE") == 78.66
    assert numbers.of("TENT", "REFUGE", 2) is None


def test_the_overview_has_columns_for_them(make_run):
    run = run_of(make_run, preset="paper-table1", sources=("REFUGE", "own"))
    table = overview_table(analyse(run), "grata")
    names = [column.name for column in table.columns]
    assert names == [
        "method",
        "REFUGE",
        "REFUGE_paper",
        "own",
        "average",
        "change",
        "paper_average",
    ]
    texts = [row.cells[2].text for row in table.rows]
    assert texts == ["76.71", "–", "78.55", "78.81"]
    averages = [row.cells[6].text for row in table.rows]
    assert averages == ["68.47", "–", "69.65", "74.34"]
    assert "one run of the authors" in table.note


def test_the_overview_of_other_runs_has_none(make_run):
    table = overview_table(analyse(run_of(make_run)), "grata")
    assert not [column for column in table.columns if "paper" in column.name]


@pytest.fixture
def matrix(make_run):
    run = run_of(make_run, preset="paper-table5", methods=PAIRS, sources=("REFUGE", "ORIGA"))
    return run, objective_matrix(analyse(run), "grata")


def test_pairs_of_objectives_as_a_matrix(matrix):
    run, table = matrix
    assert [column.name for column in table.columns[1:]] == [
        "con",
        "ent",
        "rec",
        "rot",
        "sup",
        "den",
    ]
    cells = {
        (row.cells[0].value, column.name): cell
        for row in table.rows
        for column, cell in zip(table.columns[1:], row.cells[1:], strict=True)
    }
    assert sum(cell.value is not None for cell in cells.values()) == 3
    own = run.rows[run.rows["method"] == "pse rot / aux den"]
    assert len(own) == 2
    assert cells["rot", "den"].value == pytest.approx(own["dice"].mean())
    assert cells["rot", "den"].text.endswith("[72.70]")
    assert cells["con", "ent"].text.endswith("[74.34]")
    assert cells["ent", "con"].text.endswith("[71.47]")


def test_no_matrix_of_one_pseudo_objective(make_run):
    run = run_of(make_run)
    assert objective_matrix(analyse(run), "grata") is None
