# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A clock that nobody waits for, and a tiny network in place of the real one."""

from __future__ import annotations

import pytest
import torch

from grata_monai.adapters.check_tools import tiny_network
from grata_monai.benchmark.speed import measurement, roofline


class Ticks:
    """A timer that goes on when told to; each look takes a little, too."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 0.001
        return self.now


@pytest.fixture
def ticks():
    return Ticks()


@pytest.fixture
def tiny(monkeypatch):
    """Measure with a network of a few hundred parameters and small products."""
    monkeypatch.setattr(measurement, "make_source", lambda method, weights, seed: tiny_network())
    monkeypatch.setattr(roofline, "_SIDES", {"cpu": 16})


@pytest.fixture
def cpu():
    return torch.device("cpu")
