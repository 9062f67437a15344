# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Find what is not finite in the state of a method."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def count_non_finite(state: object) -> int:
    """Return how many values of the tensors in nested containers are NaN or infinite.

    Args:
        state: Tensors in mappings, lists and tuples; everything else counts nothing.

    Example:
        >>> count_non_finite({"moments": [torch.tensor([0.0, torch.nan])], "step": 1})
        1
    """
    if isinstance(state, Tensor):
        return int((~torch.isfinite(state)).sum())
    if isinstance(state, Mapping):
        return sum(count_non_finite(value) for value in state.values())
    if isinstance(state, list | tuple):
        return sum(count_non_finite(value) for value in state)
    return 0
