# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""NaN and infinity are found wherever they are in a state."""

from __future__ import annotations

import torch

from grata_monai.state.non_finite import count_non_finite


def test_tensors_at_any_depth_count_and_nothing_else():
    bad = torch.tensor([1.0, torch.nan, torch.inf, -torch.inf])
    state = {
        "parameters": {"weight": torch.ones(3)},
        "method": [{"moments": (bad, bad[:2])}, "text", None, float("nan")],
        "generator": torch.tensor([1, 2], dtype=torch.uint8),
        "half": torch.tensor([torch.inf], dtype=torch.bfloat16),
    }
    assert count_non_finite(state) == 3 + 1 + 1
    assert count_non_finite({}) == 0
