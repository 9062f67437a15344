# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The clock of stages books every moment once, and leaves what it watches as it was."""

from __future__ import annotations

import pytest
import torch

from grata_monai.benchmark.speed.clock import Clock
from grata_monai.benchmark.speed.stages import StageClock


class Worker:
    def outer(self):
        return self.inner() + 1

    def inner(self):
        return 1


def clock_of(*times):
    return StageClock(iter(map(float, times)).__next__)


def test_the_innermost_stage_counts():
    clock = clock_of(0, 1, 3, 6, 10, 15)
    with clock.running(), clock.stage("outer"), clock.stage("inner"):
        assert clock.innermost == "inner"
    assert clock.seconds == {"rest": 1 + 5, "outer": 2 + 4, "inner": 3}


def test_a_stage_that_comes_twice_adds_up():
    clock = clock_of(0, 0, 1, 1, 3, 3)
    with clock.running():
        for _ in range(2):
            with clock.stage("a"):
                pass
    assert clock.seconds == {"rest": 0, "a": 3}


def test_a_stage_ends_with_its_exception():
    clock = clock_of(0, 1, 3, 7)
    with pytest.raises(KeyError), clock.running(), clock.stage("a"):
        raise KeyError
    assert clock.seconds == {"rest": 1 + 4, "a": 2}


def test_watching_an_object_then_its_class():
    worker, other = Worker(), Worker()
    clock = clock_of(*range(6))
    with clock.watching(worker, "inner", "a"), clock.running():
        assert (worker.outer(), other.outer()) == (2, 2)
    assert clock.seconds == {"rest": 2, "a": 1}
    assert vars(worker) == {}
    before = Worker.inner
    clock = clock_of(*range(8))
    with clock.watching(Worker, "inner", lambda of: type(of).__name__), clock.running():
        worker.outer(), other.outer()
    assert clock.seconds == {"rest": 3, "Worker": 2}
    assert Worker.inner is before


def test_an_attribute_of_the_object_itself_comes_back():
    worker = Worker()
    worker.inner = own = lambda: 5
    with clock_of().watching(worker, "inner", "a"):
        assert worker.inner is not own
    assert worker.inner is own


def test_the_clock_waits_for_the_device(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda, "synchronize", calls.append)
    for name, waits in (("cpu", 0), ("cuda", 2)):
        device = torch.device(name)
        assert Clock(device, iter([1.0, 4.0]).__next__).time(lambda: "done") == (3.0, "done")
        assert calls == [device] * waits
