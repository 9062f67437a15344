# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The measurement: rounds, what goes into the rows, and what becomes of failures."""

from __future__ import annotations

import math
from contextlib import contextmanager

import pytest
import torch

from grata_monai.adapters.check_tools import tiny_network
from grata_monai.benchmark.speed import Request, lanes, measure, measurement
from grata_monai.benchmark.speed.apart import LaneApart
from grata_monai.benchmark.speed.runners import NotOfferedError, Runner
from grata_monai.execution import Execution

SIZE = 32
COSTS = {"textbook": 6.0, "exact": 3.0, "fast": 2.0, "batch2": 8.0}


@pytest.fixture
def fakes(monkeypatch, ticks, tiny):
    """Runners that take as long as told, and remember whose turn it was."""
    turns = []
    troubles = {}

    @contextmanager
    def runner_of(name, network):
        if isinstance(troubles.get(name), NotOfferedError):
            raise troubles[name]

        def step(images):
            turns.append((name, len(images), images.sum().item()))
            if name in troubles and len(turns) > troubles[name][0]:
                raise troubles[name][1]
            ticks.now += COSTS[name]
            return network(images)

        yield Runner(step, network, object())

    monkeypatch.setattr(
        measurement,
        "runner_of",
        lambda method, path, source, device, *, seed: runner_of(path.name, source),
    )
    monkeypatch.setattr(measurement, "note_differences", lambda *_, **__: None)
    return turns, troubles


def request_of(*paths, **settings):
    settings = {"sizes": (SIZE,), "device": "cpu", "stages": False, "paths": paths} | settings
    return Request(**settings)


def test_every_path_has_one_turn_in_a_round(fakes, ticks):
    turns, _ = fakes
    paths = ("textbook", "exact", "fast")
    measure(request_of(*paths, repeats=6, warmup=2), timer=ticks, apart=False)
    rounds = [turns[start : start + 3] for start in range(0, 24, 3)]
    assert all(sorted(name for name, *_ in part) == sorted(paths) for part in rounds)
    orders = [tuple(name for name, *_ in part) for part in rounds]
    assert orders[:2] == [paths] * 2  # the warm-up
    assert len(set(orders[2:])) > 1
    images = [{image for *_, image in part} for part in rounds]
    assert all(len(found) == 1 for found in images)  # of all paths the same
    assert len(set.union(*images)) == 8


def test_the_order_comes_from_the_seed(fakes, ticks):
    turns, _ = fakes

    def order(seed):
        turns.clear()
        measure(
            request_of("textbook", "exact", "fast", repeats=8, seed=seed), timer=ticks, apart=False
        )
        return [name for name, *_ in turns]

    first, again, other = order(0), order(0), order(1)
    assert first == again
    assert first != other


def test_numbers_of_rows(fakes, ticks):
    turns, _ = fakes
    request = request_of("textbook", "exact", "fast", "batch2", sizes=(SIZE, 64), repeats=3)
    seen = []
    report = measure(
        request, timer=ticks, apart=False, so_far=lambda report: seen.append(len(report.rows))
    )
    assert seen == [4, 8]
    assert [(row.size, row.path) for row in report.rows[:5]] == [
        (SIZE, "textbook"),
        (SIZE, "exact"),
        (SIZE, "fast"),
        (SIZE, "batch2"),
        (64, "textbook"),
    ]
    medians = [row.median for row in report.rows[:4]]
    assert medians == pytest.approx([6.0, 3.0, 2.0, 4.0], abs=0.01)  # 8 s for two images
    assert [row.ratio for row in report.rows[:4]] == pytest.approx([1, 2, 3, 1.5], abs=0.01)
    assert {len(row.seconds) for row in report.rows} == {3}
    assert {count for name, count, _ in turns if name == "batch2"} == {2}
    operations = {row.operations for row in report.rows if row.size == SIZE}
    # Convolutions 3 -> 6 -> 6 of 3x3 and 6 -> 2 of 1x1 at each pixel.
    assert operations == {2 * SIZE**2 * (9 * 3 * 6 + 9 * 6 * 6 + 6 * 2)}
    assert all(row.peak > 0 for row in report.rows)


def test_memory_is_that_of_the_first_image(fakes, ticks, monkeypatch):
    used = iter([100.0, 300.0, 20.0, 30.0])
    monkeypatch.setattr(lanes, "memory_above_idle", lambda device, call: (next(used), call()))
    request = request_of("textbook", "exact", warmup=2, repeats=1)
    report = measure(request, timer=ticks, apart=False)
    assert [row.memory_mib for row in report.rows] == [100.0, 300.0]


def test_what_fails_is_told_and_the_others_go_on(fakes, ticks):
    _, troubles = fakes
    troubles["exact"] = 5, torch.OutOfMemoryError("no\nmemory")
    troubles["batch2"] = NotOfferedError("not this one")
    report = measure(request_of("textbook", "exact", "fast", "batch2"), timer=ticks, apart=False)
    textbook, exact, fast, batch = report.rows
    assert (exact.failed, exact.note) == (True, "failed: OutOfMemoryError: no memory")
    assert len(exact.seconds) < 3
    assert (batch.failed, batch.note, batch.seconds) == (False, "not this one", [])
    assert (textbook.failed, fast.failed) == (False, False)
    assert fast.ratio == pytest.approx(3, abs=0.01)
    assert report.failures() == [
        "grata at 32 px on exact failed: OutOfMemoryError: no memory",
    ]


def test_weights_that_do_not_fit_fail_one_method_only(fakes, ticks, monkeypatch):
    def make_source(method, weights, *, seed):
        if method == "detta":
            raise ValueError("no such head")
        return tiny_network()

    monkeypatch.setattr(measurement, "make_source", make_source)
    report = measure(request_of("exact", methods=("detta", "tent")), timer=ticks, apart=False)
    assert [(row.method, row.note) for row in report.rows] == [
        ("detta", "failed: no such head"),
        ("tent", ""),
    ]


def test_textbooks_are_rated_by_what_torch_does_by_itself(fakes):
    request = request_of("textbook", "exact", "bf16", "tf32")
    for kind, expected in (("cpu", "fp32 fp32 bf16 fp32"), ("cuda", "tf32 fp32 bf16 tf32")):
        clock = lanes.Clock(torch.device(kind))
        found = measurement._Measurement(request, clock)
        assert [found._precision(p) for p in request.parsed_paths] == expected.split()


def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match="'cuda:77' cannot be used"):
        measure(request_of("exact", device="cuda:77"))


# -- with the methods themselves --------------------------------------------------------------


def test_real_methods_beside_real_textbooks(tiny):
    paths = ("textbook", "exact", "bf16", "views-at-once", "checkpoint")
    methods = ("grata", "tent", "memo", "source")
    request = request_of(*paths, methods=methods, repeats=1, stages=True, warmup=2)
    rows = {(row.method, row.path): row for row in measure(request, apart=False).rows}
    for method in methods:
        exact = rows[method, "exact"]
        assert exact.probability_difference < 1e-4
        assert exact.probability_difference <= exact.logit_difference
        assert rows[method, "bf16"].probability_difference > exact.probability_difference
        assert math.isnan(rows[method, "textbook"].probability_difference)
        assert exact.ratio == exact.baseline[0] / exact.seconds[0]
        assert exact.stages["I/O"] > 0
    assert rows["grata", "views-at-once"].probability_difference < 1e-4
    assert rows["tent", "views-at-once"].note == "tent has no weak views that could run together"
    # Nothing in so flat a network that holds norms beside other layers.
    assert "can be checkpointed" in rows["grata", "checkpoint"].note
    assert rows["grata", "checkpoint"].failed
    counted = {method: rows[method, "exact"].operations for method in methods}
    assert counted["grata"] > counted["tent"] > counted["source"]


def test_no_difference_is_told_of_draws_that_cannot_be_shared(tiny, monkeypatch):
    request = request_of("textbook", "exact", methods=("dua",), repeats=1)
    rows = measure(request, apart=False).rows
    assert math.isnan(rows[1].probability_difference)
    assert not any(row.failed for row in rows)


def test_compiled_paths(tiny, monkeypatch):
    ran, resets = [], []

    @contextmanager
    def running(self, network):
        ran.append(self.compile)
        yield

    monkeypatch.setattr(Execution, "running", running)
    monkeypatch.setattr(torch.compiler, "reset", lambda: resets.append(True))
    request = request_of("exact+compile", methods=("tent", "ptbn"), repeats=1, stages=True)
    rows = measure(request, apart=False).rows
    assert ran.count(True) == 2 * 3  # warm-up, timed, stages
    assert resets == [True] * 2
    assert "forward" not in rows[0].stages  # whose watch the compiler would have to take apart
    assert math.isnan(rows[0].operations)


def test_every_path_has_a_process_of_its_own(tiny, monkeypatch):
    paths = ("textbook", "exact", "exact+given-back")
    request = request_of(*paths, methods=("grata",), repeats=2, stages=True)
    started = []
    start = LaneApart.__init__
    monkeypatch.setattr(
        LaneApart,
        "__init__",
        lambda self, row, task: (started.append((row.path, self)), start(self, row, task))[1],
    )
    rows = {row.path: row for row in measure(request).rows}
    assert [path for path, _ in started] == list(paths)
    assert not any(lane._process.is_alive() for _, lane in started)
    assert not any(row.failed for row in rows.values())
    assert rows["exact+given-back"].probability_difference < 1e-4
    for path in paths:
        assert len(rows[path].seconds) == 2
        assert rows[path].baseline == rows["textbook"].seconds
        assert rows[path].operations == rows["exact"].operations > 0
        assert rows[path].peak == rows["exact"].peak
        assert {"I/O", "augmentation"} < set(rows[path].stages)
        assert rows[path].memory_mib >= 0


def test_a_process_that_dies_is_told_and_the_others_go_on(tiny, monkeypatch):
    def killed_at_its_turn(self, number):
        if self.path.is_textbook:
            self._process.kill()
        lane_time(self, number)

    lane_time = LaneApart.time
    monkeypatch.setattr(LaneApart, "time", killed_at_its_turn)
    textbook, exact = measure(request_of("textbook", "exact", methods=("ptbn",), repeats=2)).rows
    assert textbook.failed
    assert "its process died" in textbook.note
    assert len(exact.seconds) == 2
    assert math.isnan(exact.ratio)
