# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Runs are read as they are: finished, stopped in the middle, with odd names, damaged."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from grata_monai.report import read_run


def test_a_finished_run(finished_run):
    run = read_run(finished_run)
    assert run.methods == ("No Adapt", "PTBN", "TENT", "GraTa")
    assert run.sources == ("REFUGE", "ORIGA")
    assert run.targets == ("REFUGE", "ORIGA", "Drishti_GS")
    assert run.seeds == (0, 1)
    assert run.protocols == ("grata",)
    assert run.baseline == "No Adapt"
    assert run.unfinished == ()
    assert run.state == "complete: 32 cells, 160 rows"


def test_dice_is_the_mean_of_disc_and_cup(finished_run):
    row = read_run(finished_run).rows.iloc[7]
    assert row["dice"] == pytest.approx((row["dice_disc"] + row["dice_cup"]) / 2)


def test_the_order_is_that_of_the_plan(make_run):
    methods = (("Z", "grata", {}), ("A", "source", {}))
    run = read_run(make_run(methods=methods, pictures=False))
    assert run.methods == ("Z", "A")
    assert run.baseline == "A"


def test_planned_cells_that_were_not_run(make_run):
    run = read_run(make_run(skip_cells=3, pictures=False))
    assert len(run.unfinished) == 3
    assert run.state.startswith("NOT COMPLETE: 29 of 32 cells have ended")


def test_a_cell_that_was_stopped_or_failed(make_run):
    folder = make_run(pictures=False)
    cells = read_run(folder).plan.cells
    (folder / "cells" / cells[4] / "state.pt").touch()
    (folder / "cells" / cells[7] / "cell.json").write_text('{"status": "failed"}')
    (folder / "cells" / cells[9] / "cell.json").write_text('{"status": "complete"}')
    assert read_run(folder).unfinished == (cells[4], cells[7])


def test_a_run_without_its_common_table_is_read_from_its_cells(make_run):
    folder = make_run(pictures=False)
    whole = read_run(folder).rows
    (folder / "rows.csv").unlink()
    parts = read_run(folder).rows
    assert parts.equals(whole)


def test_cells_that_went_on_later_are_read_instead_of_the_old_table(make_run):
    folder = make_run(pictures=False)
    text = (folder / "rows.csv").read_text().splitlines()
    (folder / "rows.csv").write_text("\n".join(text[:20]) + "\n")
    newer = (folder / "rows.csv").stat().st_mtime + 5
    os.utime(next(folder.glob("cells/*/rows.csv")), (newer, newer))
    assert len(read_run(folder).rows) == 160


def test_names_that_look_like_missing_values_stay_names(make_run):
    methods = (("NA", "source", {}), ("None", "grata", {}), ("007", "tent", {}))
    run = read_run(make_run(methods=methods, targets=("nan", "B"), sources=("B",), pictures=False))
    assert run.methods == ("NA", "None", "007")
    assert run.targets == ("nan",)


def test_images_that_failed_have_no_scores(make_run):
    folder = make_run(pictures=False)
    table = (folder / "rows.csv").read_text().splitlines()
    header = table[0].split(",")
    fields = table[1].split(",")
    for name, text in (("dice_disc", ""), ("dice_cup", "nan"), ("error", "broken")):
        fields[header.index(name)] = text
    (folder / "rows.csv").write_text("\n".join([table[0], ",".join(fields), *table[2:]]))
    row = read_run(folder).rows.iloc[0]
    assert np.isnan([row["dice_disc"], row["dice_cup"], row["dice"]]).all()
    assert row["error"] == "broken"


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        read_run(tmp_path / "nothing")


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no plan\.json; give the folder"):
        read_run(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "x"}', "null"])
def test_a_damaged_plan(tmp_path, text):
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(ValueError, match=r"plan\.json is not a plan of a benchmark"):
        read_run(tmp_path)


def test_nothing_scored_yet(make_run):
    folder = make_run(skip_cells=32, pictures=False)
    with pytest.raises(ValueError, match="no scored image yet"):
        read_run(folder)


@pytest.mark.parametrize("lines", [0, 1])
def test_an_empty_table(make_run, finished_run, lines):
    folder = make_run(skip_cells=32, pictures=False)
    text = (finished_run / "rows.csv").read_text().splitlines(keepends=True)
    (folder / "rows.csv").write_text("".join(text[:lines]))
    with pytest.raises(ValueError, match="no scored image yet"):
        read_run(folder)


def test_another_table(make_run):
    folder = make_run(pictures=False)
    (folder / "rows.csv").write_text("cell,image\na,b\n")
    with pytest.raises(ValueError, match=r"rows\.csv lacks the columns protocol, source"):
        read_run(folder)


def test_unknown_entries_of_a_plan_are_passed_over(make_run):
    folder = make_run(pictures=False)
    plan = json.loads((folder / "plan.json").read_text())
    plan["later"] = {"more": [1]}
    del plan["title"]
    (folder / "plan.json").write_text(json.dumps(plan))
    assert read_run(folder).plan.title == "smoke"
