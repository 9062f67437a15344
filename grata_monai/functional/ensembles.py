# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Join several predictions of one image: weights by entropy, and the logit of the weighted mean."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from grata_monai.functional.entropy import binary_entropy


def mean_entropy(logits: Tensor) -> Tensor:
    """Return the mean binary entropy (nats) of each image and channel: BxC for BxCx*spatial."""
    return binary_entropy(logits).flatten(2).mean(dim=2)


def balanced_entropy(logits: Tensor) -> Tensor:
    r"""Return the entropy averaged over structure and background with equal say.

    .. math:: b = \tfrac12 \big(\mathrm{mean}_{p \ge 1/2} H_B + \mathrm{mean}_{p < 1/2} H_B\big)

    so that a structure of few pixels counts as much as all the rest. The plain mean where one
    of the two is empty. Nats; the base does not matter after ``min_max``.

    Args:
        logits: BxCx*spatial; each image and channel counts on its own.

    Returns:
        Values of shape BxC.
    """
    entropy = binary_entropy(logits).flatten(2)
    inside = (logits >= 0).flatten(2)
    count = inside.sum(dim=2)
    rest = inside.shape[2] - count
    zero = entropy.new_zeros(())
    over_inside = torch.where(inside, entropy, zero).sum(dim=2) / count.clamp(min=1)
    over_rest = torch.where(inside, zero, entropy).sum(dim=2) / rest.clamp(min=1)
    one_is_empty = (count == 0) | (rest == 0)
    return torch.where(one_is_empty, entropy.mean(dim=2), 0.5 * (over_inside + over_rest))


def min_max(values: Tensor, dim: int = 0) -> Tensor:
    """Return values scaled to [0, 1] along a dimension; all 0 where they are all the same."""
    low, high = values.amin(dim=dim, keepdim=True), values.amax(dim=dim, keepdim=True)
    span = high - low
    return (values - low) / torch.where(span > 0, span, torch.ones_like(span))


def mixture_logits(logits: Tensor, weights: Tensor) -> Tensor:
    r"""Return :math:`\mathrm{logit} \sum_r w_r\, \sigma(z_r)`, finite for finite logits.

    Probability and counter-probability are summed by their logarithms, so nothing rounds to 0 or
    1: the result lies between the smallest and the largest of the logits that have a weight.

    Args:
        logits: R predictions, Rx*any.
        weights: Non-negative, summing to 1 over the first dimension; broadcast over the rest.

    Example:
        >>> mixture_logits(torch.tensor([[4.0], [-4.0]]), torch.tensor([[0.5], [0.5]]))
        tensor([0.])
    """
    log_weights = weights.log()
    inside = torch.logsumexp(log_weights + logsigmoid(logits), dim=0)
    outside = torch.logsumexp(log_weights + logsigmoid(-logits), dim=0)
    return inside - outside


def power_weights(values: Tensor, power: float) -> Tensor:
    r"""Return weights :math:`\propto v_r^{\kappa}` that sum to 1 over the first dimension.

    Args:
        values: Non-negative, Rx*any; equal weights where all of them are 0.
        power: κ >= 0.

    Example:
        >>> power_weights(torch.tensor([1.0, 0.5]), 2.0)
        tensor([0.8000, 0.2000])
    """
    largest = values.amax(dim=0)
    relative = torch.where(largest > 0, values / largest.clamp_min(1e-30), 1.0)
    weights = relative**power
    return weights / weights.sum(dim=0)


def inverse_weights(distances: Tensor, power: float) -> Tensor:
    r"""Return weights :math:`\propto d_r^{-\kappa}` that sum to 1 over the first dimension.

    Args:
        distances: Non-negative, Rx*any; equal weights where one is not finite.
        power: κ >= 0.

    Example:
        >>> inverse_weights(torch.tensor([1.0, 2.0]), 2.0)
        tensor([0.8000, 0.2000])
    """
    finite = torch.isfinite(distances).all(dim=0)
    usable = torch.where(finite, distances, 1.0).clamp_min(1e-12)
    return power_weights(usable.amin(dim=0) / usable, power)
