# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Judge predictions by their entropy, and join several of them."""

from __future__ import annotations

import torch
from torch import Tensor

from grata_monai.benchmark.textbook.losses import binary_entropy


def balanced_entropy(logits: Tensor) -> list[float]:
    """Return for each channel of one image the entropy, structure and background counting alike.

    The plain mean where one of the two is empty.
    """
    balanced = []
    for channel in logits[0]:
        entropy, inside = binary_entropy(torch.sigmoid(channel)), channel >= 0
        if inside.all() or not inside.any():
            balanced.append(float(entropy.mean()))
        else:
            balanced.append(float((entropy[inside].mean() + entropy[~inside].mean()) / 2))
    return balanced


def mixture_logits(logits: list[Tensor], weights: Tensor) -> Tensor:
    """Return the logits of the weighted mean of probabilities.

    Args:
        logits: R predictions 1xCxHxW.
        weights: RxC, or R for the same in all channels.
    """
    weights = weights.reshape(len(logits), 1, -1, 1, 1).to(logits[0])
    mean = (weights * torch.sigmoid(torch.stack(logits))).sum(dim=0)
    return torch.logit(mean, eps=torch.finfo(mean.dtype).eps)
