# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DUA's momentum schedule against its table and a plain loop."""

from __future__ import annotations

import math

import pytest

from grata_monai.functional import decayed_momentum


@pytest.mark.parametrize(
    ("step", "momentum"),
    [(1, 0.0990), (5, 0.0784), (10, 0.0589), (20, 0.0340), (50, 0.0095), (80, 0.0057)],
)
def test_table(step, momentum):
    assert decayed_momentum(step) == pytest.approx(momentum, abs=1e-4)


@pytest.mark.parametrize(
    ("step", "share"),
    [(1, 0.901), (5, 0.630), (10, 0.447), (20, 0.285), (30, 0.219), (50, 0.166), (200, 0.073)],
)
def test_share_of_the_source_that_is_left(step, share):
    left = math.prod(1.0 - decayed_momentum(t) for t in range(1, step + 1))
    assert left == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize("omega", [0.0, 0.94, 1.0])
@pytest.mark.parametrize("recursive", [False, True])
def test_closed_form_is_the_recursion(omega, recursive):
    value = 0.1
    for step in range(1, 40):
        value = omega * value + (0.005 if recursive else 0.0)
        expected = value if recursive else value + 0.005
        found = decayed_momentum(step, omega=omega, recursive=recursive)
        assert found == pytest.approx(expected, rel=1e-9)


def test_recursive_forgets_the_source():
    momenta = [decayed_momentum(step, recursive=True) for step in range(1, 101)]
    assert momenta[-1] == pytest.approx(0.005 / 0.06, abs=1e-3)
    assert math.prod(1.0 - m for m in momenta[:20]) == pytest.approx(0.14, abs=0.01)
    assert math.prod(1.0 - m for m in momenta) == pytest.approx(1e-4, abs=1e-4)


def test_never_more_than_one():
    assert decayed_momentum(1, initial=1.0, omega=1.0, delta=0.5) == 1.0
