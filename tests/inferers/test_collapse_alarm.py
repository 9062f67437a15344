# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The alarm: the three ends that a stream can collapse to, each just before and just after."""

from __future__ import annotations

import math

import pytest
import torch

from grata_monai.inferers import CollapseAlarm


def logits(*inside, images=1, size=4, value=1.0):
    """Return logits with so many pixels of ``value`` in each channel, the others the opposite."""
    flat = torch.full((images, len(inside), size * size), -value)
    for channel, count in enumerate(inside):
        flat[:, channel, :count] = value
    return flat.reshape(images, len(inside), size, size)


def test_nothing_anywhere():
    alarm = CollapseAlarm()
    assert alarm.reason(logits(0, 0)) == "no structure was found anywhere"
    assert alarm.reason(logits(1, 0)) == ""
    assert alarm.reason(logits(0, 1)) == ""
    assert alarm.reason(torch.zeros(1, 2, 4, 4)) == "no structure was found anywhere"  # p = 0.5


def test_one_structure_everywhere():
    alarm = CollapseAlarm(largest_share=0.75)
    assert alarm.reason(logits(12, 3)) == ""
    assert alarm.reason(logits(13, 3)) == "structure 0 was found in more than 75% of pixels"
    assert alarm.reason(logits(3, 13)) == "structure 1 was found in more than 75% of pixels"
    assert "structure 0 was found in more than 95%" in CollapseAlarm().reason(logits(16, 2))
    assert CollapseAlarm(largest_share=1.0).reason(logits(16, 16)) == ""  # that check switched off


def test_beyond_doubt():
    p = 1 / (1 + math.exp(-6.0))
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    found = logits(8, 4, value=6.0)
    assert CollapseAlarm(smallest_entropy=entropy * 0.999).reason(found) == ""
    reason = CollapseAlarm(smallest_entropy=entropy * 1.001).reason(found)
    assert reason == f"the mean entropy is below {entropy * 1.001:g} nats"
    assert "below 1e-05 nats" in CollapseAlarm().reason(logits(8, 4, value=1000.0))
    assert CollapseAlarm(smallest_entropy=0.0).reason(logits(8, 4, value=1000.0)) == ""


def test_a_few_undecided_pixels_are_doubt_enough():
    found = logits(8, 4, value=1000.0)
    found[0, 0, 0, 0] = 0.5
    assert CollapseAlarm().reason(found) == ""


def test_a_batch_has_collapsed_if_all_of_it_has():
    alarm = CollapseAlarm()
    sound, empty, full = logits(4, 2), logits(0, 0), logits(16, 4)
    assert alarm.reason(torch.cat([sound, empty])) == ""
    assert alarm.reason(torch.cat([sound, full])) == ""
    assert alarm.reason(torch.cat([empty, empty])) == "no structure was found anywhere"
    assert "structure 0" in alarm.reason(torch.cat([full, full]))


def test_volumes():
    assert CollapseAlarm().reason(torch.full((1, 2, 3, 4, 5), -1.0))
    volume = torch.full((1, 1, 3, 4, 5), -1.0)
    volume[0, 0, 1, 1:3, 1:3] = 1.0
    assert CollapseAlarm().reason(volume) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("largest_share", 1.1), ("largest_share", -0.1), ("smallest_entropy", -1.0)],
)
def test_arguments_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of CollapseAlarm"):
        CollapseAlarm(**{name: value})
