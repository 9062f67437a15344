# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What is asked of the machine: heap, memory, operations, the largest product."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from grata_monai.benchmark.memory import PeakMemory
from grata_monai.benchmark.speed import memory
from grata_monai.benchmark.speed.clock import Clock
from grata_monai.benchmark.speed.memory import memory_above_idle
from grata_monai.benchmark.speed.roofline import floating_point_operations, matmul_peak
from grata_monai.execution import keep_freed_memory

MIB = 2**20


def restarts():
    """Whether the system can restart its mark of memory."""
    return not math.isnan(memory_above_idle(torch.device("cpu"), lambda: None)[0])


def test_memory_above_idle_is_what_a_call_needed(cpu):
    if not restarts():
        pytest.skip("this system cannot restart the mark of memory")
    keep_freed_memory(False)  # what other tests left on the heap would serve the call
    kept = torch.ones(64 * MIB, dtype=torch.uint8)  # was there before

    def call():
        return int(torch.ones(48 * MIB, dtype=torch.uint8).max())

    used, result = memory_above_idle(cpu, call)
    assert result == 1
    assert 47 < used < 60
    assert len(kept) == 64 * MIB


def test_an_old_mark_says_nothing(cpu, monkeypatch):
    monkeypatch.setattr(PeakMemory, "start", lambda self: None)
    monkeypatch.setattr(memory, "_resident_now", lambda: 1.0)
    used, result = memory_above_idle(cpu, lambda: "done")
    assert math.isnan(used)
    assert result == "done"


def test_operations_of_a_convolution_and_its_backward_pass():
    layer = nn.Conv2d(3, 5, 3, padding=1, bias=False)
    images = torch.rand(1, 3, 8, 8)
    forward = 2 * 3 * 5 * 9 * 64  # a product and a sum each
    assert floating_point_operations(lambda: layer(images)) == forward
    # The gradient of the weights takes as many again; images have none.
    assert floating_point_operations(lambda: layer(images).sum().backward()) == 2 * forward


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_peak_is_that_of_the_fastest_product(cpu, precision):
    times = [0.0, 4.0, 4.0, 6.0]  # 4 s and 2 s, then 5 s each
    times += [value for index in range(5) for value in (10.0 * index, 10.0 * index + 5)]
    peak = matmul_peak(Clock(cpu, iter(times).__next__), precision, side=8)
    assert peak == 2 * 8**3 / 2.0
