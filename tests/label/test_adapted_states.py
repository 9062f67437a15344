# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from grata_monai.adapters import Tent
from grata_monai.label import AdaptedStates


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def build():
    return Tent(life_cycle="never")


def test_each_key_has_its_own_adapter():
    states = AdaptedStates(seconds=10, limit=8, clock=Clock())
    first, second = states.get("a", build), states.get("b", build)
    assert first is not second
    assert states.get("a", build) is first


def test_unused_states_are_forgotten():
    clock = Clock()
    states = AdaptedStates(seconds=10, limit=8, clock=clock)
    first = states.get("a", build)
    clock.now = 9.0
    assert states.get("a", build) is first  # used again: kept for ten more seconds
    clock.now = 18.0
    assert len(states) == 1
    clock.now = 19.5
    assert len(states) == 0
    assert states.get("a", build) is not first


def test_the_one_unused_for_longest_makes_room():
    clock = Clock()
    states = AdaptedStates(seconds=100, limit=2, clock=clock)
    a, b = states.get("a", build), states.get("b", build)
    clock.now = 1.0
    states.get("a", build)
    states.get("c", build)
    assert states.get("a", build) is a
    assert states.get("b", build) is not b


@pytest.mark.parametrize(("name", "value"), [("seconds", -1), ("limit", 0)])
def test_wrong_numbers(name, value):
    with pytest.raises(ValueError, match=name):
        AdaptedStates(**{name: value})
