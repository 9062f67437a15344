# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How much masks change from one prediction of the same images to another."""

from __future__ import annotations

import torch
from torch import Tensor


def largest_mask_change(before: Tensor, after: Tensor) -> float:
    r"""Return the largest 1 - Dice, over images and channels, between the masks of two logits.

    .. math:: \max_{n,c} \left( 1 - \frac{2 |M_{nc} \cap M'_{nc}|}{|M_{nc}| + |M'_{nc}|} \right),
        \qquad M = \{z > 0\}, \; M' = \{z' > 0\}

    Two empty masks do not differ; an empty one and another differ by 1.

    Args:
        before: z, BxKx*spatial.
        after: z', of the same shape.

    Example:
        >>> before = torch.tensor([[[1.0, 1.0, -1.0, -1.0]]])
        >>> largest_mask_change(before, torch.tensor([[[1.0, -1.0, -1.0, -1.0]]]))  # 1 - 2/3
        0.33333333333333337
    """
    first, second = (before > 0).flatten(2), (after > 0).flatten(2)
    overlap = (first & second).sum(dim=2).double()
    sizes = first.sum(dim=2) + second.sum(dim=2)
    dice = torch.where(sizes > 0, 2.0 * overlap / sizes.clamp(min=1), 1.0)
    return float((1.0 - dice).max())
