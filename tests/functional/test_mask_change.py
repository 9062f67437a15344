# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Change of masks against counting by hand."""

from __future__ import annotations

import pytest
import torch

from grata_monai.functional.mask_change import largest_mask_change


def logits(*channels):
    """Return logits 1xKx1xW that are positive where a string has a #."""
    rows = [[3.0 if sign == "#" else -3.0 for sign in channel] for channel in channels]
    return torch.tensor(rows)[None, :, None, :]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (["####", "#..."], ["####", "#..."], 0.0),
        (["####", "##.."], ["####", "#..."], 1 - 2 / 3),
        (["####", "##.."], ["##..", ".##."], 1 - 2 / 4),
        (["...."], ["...."], 0.0),
        (["...."], ["...#"], 1.0),
        (["##.."], ["...."], 1.0),
    ],
)
def test_counted_by_hand(before, after, expected):
    assert largest_mask_change(logits(*before), logits(*after)) == pytest.approx(expected)


def test_the_largest_of_a_batch_counts():
    before = torch.cat([logits("####"), logits("##..")])
    after = torch.cat([logits("####"), logits("#...")])
    assert largest_mask_change(before, after) == pytest.approx(1 / 3)
