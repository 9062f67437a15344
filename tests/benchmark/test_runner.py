# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Whole runs: what is kept, added, refused; failures; rates from other cells; several processes."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock

from grata_monai.benchmark import runner, workers
from grata_monai.benchmark.grid import Method
from grata_monai.benchmark.plan import make_plan
from grata_monai.benchmark.progress import cell_progress
from grata_monai.benchmark.request import requested_grid
from grata_monai.benchmark.results import read_rows
from grata_monai.benchmark.run_folder import read_text_rows
from grata_monai.benchmark.runner import run_plan
from tests.benchmark.conftest import DOMAINS, METHODS, SIZE

UNTIMED = ["seconds", "memory_mb"]
TENT, GRATA = METHODS[2], Method("GraTa", "grata", {"beta": 0.01})
CONTROL = Method("control", "grata", {"mapping": "constant"}, "GraTa")


def failures(folder):
    with (folder / "failures.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def run(plan, folder, **settings):
    return run_plan(plan, folder, **({"pictures": False, "progress": False} | settings))


def test_a_run_has_all_rows_in_the_order_of_its_plan(plan_of, tmp_path):
    report = run(plan_of(seeds=(0, 1)), tmp_path)
    assert (len(report.outcomes), report.kept, report.failed) == (12, 0, [])
    plan = json.loads((tmp_path / "plan.json").read_text())
    rows = read_rows(tmp_path)
    assert list(rows["cell"].unique()) == [cell["id"] for cell in plan["cells"]]
    assert len(rows) == 2 * 3 * (4 + 3)
    written = read_text_rows(tmp_path / "rows.csv")
    assert [float(row["dice_disc"]) for row in written] == rows["dice_disc"].tolist()
    parquet = pd.read_parquet(tmp_path / "rows.parquet")
    assert list(parquet.columns) == list(written[0])
    assert (parquet["dice_disc"] == rows["dice_disc"]).all()
    assert failures(tmp_path) == []
    assert plan["sources"] == {
        "Elsewhere": {"weights": os.path.abspath("none.pt"), "sha256": "0" * 64}
    }
    assert {
        "name",
        "title",
        "dataset_dir",
        "targets",
        "methods",
        "seeds",
        "protocols",
        "rounds",
    } <= {*plan}


def test_the_same_again_does_nothing_and_more_adds(plan_of, tmp_path):
    run(plan_of([TENT], targets=DOMAINS[:1]), tmp_path)
    before = (tmp_path / "rows.csv").read_bytes()
    report = run(plan_of([TENT], targets=DOMAINS[:1]), tmp_path)
    assert (report.outcomes, report.kept) == ((), 1)
    assert (tmp_path / "rows.csv").read_bytes() == before
    report = run(plan_of([METHODS[1], TENT], seeds=(0, 5)), tmp_path)
    assert (len(report.outcomes), report.kept) == (7, 1)
    run(plan_of([METHODS[0]], protocols=("mixed",)), tmp_path)
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert [method["name"] for method in plan["methods"]] == ["TENT", "PTBN", "No Adapt"]
    assert (plan["seeds"], plan["protocols"]) == ([0, 5], ["grata", "mixed"])
    assert plan["targets"] == list(DOMAINS)
    assert len(plan["cells"]) == len(read_rows(tmp_path)["cell"].unique()) == 9
    first = read_rows(tmp_path).head(4)
    assert (first["method"] == "TENT").all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": [Method("TENT", "tent", {"beta": 0.5})]}, r"TENT is .*0.01.* there and .*0.5"),
        ({"methods": [Method("TENT", "ptbn")], "targets": DOMAINS[1:]}, "TENT is .*'ptbn'.* here"),
        ({"methods": [METHODS[0]], "limit": 2}, "limit is None there and 2 here"),
        ({"diagnostics": True}, "diagnostics is False there and True here"),
        ({"roi_size": 400}, "roi_size is 800 there and 400 here"),
    ],
)
def test_other_settings_for_the_same_cells_are_refused(plan_of, tmp_path, change, message):
    run(plan_of([TENT]), tmp_path)
    before = (tmp_path / "plan.json").read_bytes()
    settings = {"methods": [TENT]} | change
    with pytest.raises(ValueError, match=message):
        run(plan_of(settings.pop("methods"), **settings), tmp_path)
    assert (tmp_path / "plan.json").read_bytes() == before


def test_more_rounds_of_the_same_stream_are_refused(plan_of, tmp_path):
    run(plan_of([TENT], protocols=("vptta",)), tmp_path)
    with pytest.raises(ValueError, match="rounds is 1 there and 2 here"):
        run(plan_of([TENT], protocols=("vptta",), rounds=2), tmp_path)


def test_other_images_or_another_source_are_refused(plan_of, tmp_path):
    run(plan_of([TENT]), tmp_path)
    plan = plan_of([TENT])
    fewer = replace(plan.domains[DOMAINS[0]], images=plan.domains[DOMAINS[0]].images[1:])
    with pytest.raises(ValueError, match=f"the images of {DOMAINS[0]} are others"):
        run(replace(plan, domains={**plan.domains, DOMAINS[0]: fewer}), tmp_path)
    with pytest.raises(ValueError, match=r"the source Elsewhere is '0+' there and '1+' here"):
        run(replace(plan, hashes={"Elsewhere": "1" * 64}), tmp_path)


def test_what_a_kill_left_of_a_file_is_removed(plan_of, tmp_path):
    plan = plan_of([TENT], targets=DOMAINS[:1])
    half = tmp_path / "cells" / plan.grid.cells()[0].id / ".state.abc.pt"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    assert not run(plan, tmp_path).failed
    assert not half.exists()


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("")])
def test_a_complete_cell_without_its_rows_is_run_again(plan_of, tmp_path, spoil):
    plan = plan_of([TENT], targets=DOMAINS[:1])
    run(plan, tmp_path)
    before = (tmp_path / "rows.csv").read_text().count("\n")
    spoil(next((tmp_path / "cells").glob("*/rows.csv")))
    assert [c.status for c in cell_progress(tmp_path)].count("started") == 1
    assert [outcome.status for outcome in run(plan, tmp_path).outcomes] == ["complete"]
    assert (tmp_path / "rows.csv").read_text().count("\n") == before


def test_two_processes_do_not_run_in_one_folder(plan_of, tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(ValueError, match="Another process"):
        run(plan_of([TENT]), tmp_path)


def test_a_cell_that_fails_is_reported_and_tried_again(plan_of, tmp_path):
    bad = Method("bad", "grata", {"auxiliary": "rotation"})
    report = run(plan_of([bad, TENT]), tmp_path)
    assert [outcome.status for outcome in report.outcomes] == ["failed", "complete"] * 2
    assert [outcome.cell.split("__")[3] for outcome in report.failed] == ["bad", "bad"]
    rows = failures(tmp_path)
    assert [row["image"] for row in rows] == ["", ""]
    assert all("'rotation' head" in row["error"] for row in rows)
    assert [c.status for c in cell_progress(tmp_path)] == ["failed", "complete"] * 2
    again = run(plan_of([bad, TENT]), tmp_path)
    assert (len(again.outcomes), again.kept, again.failures) == (2, 2, 2)


def test_failed_images_of_an_earlier_run_are_still_failures(plan_of, tmp_path):
    plan = plan_of([METHODS[0]], targets=DOMAINS[:1])
    images = plan.domains[DOMAINS[0]].images
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    item = {**images[0].item, "image": str(tmp_path / "damaged.png")}
    damaged = replace(images[0], item=item)
    domain = replace(plan.domains[DOMAINS[0]], images=(damaged, *images[1:]))
    plan = replace(plan, domains={**plan.domains, DOMAINS[0]: domain})
    first, second = run(plan, tmp_path / "out"), run(plan, tmp_path / "out")
    assert (first.failures, len(first.failed)) == (1, 1)
    assert (second.failures, second.outcomes, second.kept) == (1, (), 1)
    assert "damaged.png" in failures(tmp_path / "out")[0]["error"]


def test_left_out_images_are_named(plan_of, tmp_path):
    plan = plan_of([TENT])
    plan.domains[DOMAINS[0]].skipped["x.png"] = "x.png cannot be read"
    try:
        report = run(plan, tmp_path)
    finally:
        del plan.domains[DOMAINS[0]].skipped["x.png"]
    assert not report.failed
    assert failures(tmp_path) == [
        {"cell": "", "image": "x.png", "error": "left out: x.png cannot be read"}
    ]


def test_a_rate_is_the_mean_over_the_other_methods_same_stream(plan_of, tmp_path):
    run(plan_of([CONTROL, GRATA], seeds=(0, 1)), tmp_path)
    rows = read_rows(tmp_path)
    for _, stream in rows.groupby(["stream", "seed"]):
        of_method = stream.groupby("method")["trace_learning_rate"]
        assert of_method.nunique()["control"] == 1
        assert of_method.nunique()["GraTa"] > 1
        expected = stream.loc[stream["method"] == "GraTa", "trace_learning_rate"].mean()
        assert of_method.first()["control"] == pytest.approx(expected, rel=1e-12)
    assert run(plan_of([CONTROL, GRATA], seeds=(0, 1)), tmp_path).kept == 8


def test_a_rate_of_a_method_without_one_fails(plan_of, tmp_path):
    control = Method("control", "grata", {"mapping": "constant"}, "PTBN")
    report = run(plan_of([METHODS[1], control]), tmp_path)
    assert {outcome.error for outcome in report.failed} == {
        "It needs learning rates, but 'PTBN' has none."
    }
    assert all(cell.status in {"complete", "failed"} for cell in cell_progress(tmp_path))


def test_progress_of_a_run_that_has_not_come_to_a_cell(plan_of, tmp_path):
    class Stop(BaseException):
        pass

    plan = plan_of([TENT])

    def stop(*arguments, **settings):
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("grata_monai.benchmark.cells.load_source", stop)
        with pytest.raises(Stop):
            run(plan, tmp_path)
    assert [(c.status, c.images) for c in cell_progress(tmp_path)] == [
        ("started", 0),
        ("waiting", 0),
    ]
    with pytest.raises(ValueError, match="has no rows yet"):
        read_rows(tmp_path)


def _parent_of_a_child(connection):
    context = multiprocessing.get_context("fork")
    # the child keeps both ends of this pipe open, so that its end says nothing
    held = context.Pipe()
    child = context.Process(target=_wait_as_worker, args=(connection, held))
    child.start()
    time.sleep(60)


def _wait_as_worker(connection, held):
    threading.Thread(target=workers._end_with_parent, daemon=True).start()
    connection.send(os.getpid())
    held[0].poll(60)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_worker_ends_with_the_main_process():
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    parent = context.Process(target=_parent_of_a_child, args=(theirs,))
    parent.start()
    theirs.close()
    worker = ours.recv()
    os.kill(worker, 0)
    parent.kill()
    parent.join()
    assert ours.poll(30)
    with pytest.raises(EOFError):  # the worker held the last copy of the other end
        ours.recv()


@pytest.mark.slow
def test_a_killed_process_takes_only_its_cell_along(dataset, weights, tmp_path):
    grid = requested_grid(
        dataset,
        preset="smoke",
        sources={"Synthetic_A": weights},
        targets=DOMAINS[1:],
        methods=("No Adapt", "PTBN", "TENT"),
        image_size=SIZE,
    )
    plan = make_plan(grid, dataset, device="cpu")
    killed = []

    def kill_once():
        if not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    def run_cells(tasks, *, jobs, on_image):
        yield from workers.run_cells(tasks, jobs=jobs, on_image=kill_once)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "run_cells", run_cells)
        report = run(plan, tmp_path, jobs=2)
    assert sorted(o.status for o in report.outcomes) == ["complete", "complete", "failed"]
    assert "signal 9" in report.failed[0].error
    assert ["signal 9" in row["error"] for row in failures(tmp_path)] == [True]
    again = run(plan, tmp_path)
    assert (again.kept, again.failed) == (2, [])
    assert failures(tmp_path) == []
    assert read_rows(tmp_path)["method"].tolist() == ["No Adapt"] * 3 + ["PTBN"] * 3 + ["TENT"] * 3
