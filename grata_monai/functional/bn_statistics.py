# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Per-channel statistics of activations, and normalization with any of them.

Activations are BxCx*spatial (2D or 3D); statistics have shape C.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from grata_monai.functional.batch_normalization import batch_mean_and_variance
from grata_monai.functional.precision import at_least_single


class Statistics(NamedTuple):
    """Mean (or another center) and variance of each channel, both of shape C."""

    mean: Tensor
    variance: Tensor


def channels_first(values: Tensor, ndim: int) -> Tensor:
    """View per-channel values of shape C so that they broadcast over BxCx*spatial."""
    return values.view(1, -1, *([1] * (ndim - 2)))


def batch_statistics(activations: Tensor, *, unbiased: bool = False) -> Statistics:
    """Return mean and variance over batch and space, at least in float32.

    Args:
        activations: BxCx*spatial.
        unbiased: Divide by M - 1 instead of M, as torch does for its running variance.
    """
    mean, variance = batch_mean_and_variance(at_least_single(activations))
    if unbiased:
        count = activations.numel() / activations.shape[1]
        variance = variance * (count / (count - 1.0) if count > 1 else math.nan)
    return Statistics(mean, variance)


def median_statistics(activations: Tensor, *, stride: int = 1) -> Statistics:
    r"""Return the median η and the mean squared distance from it, :math:`\rho^2` (MedBN).

    With an even count torch's median is the lower of the two middle values.

    Args:
        activations: BxCx*spatial.
        stride: Take the median over every stride-th row and column only, at least 1. The
            distance is taken over all values.

    Reference:
        Park et al., "MedBN: Robust Test-Time Adaptation against Malicious Test Samples",
        CVPR 2024.
    """
    every = (slice(None), slice(None), *[slice(None, None, stride)] * (activations.ndim - 2))
    median = activations[every].transpose(0, 1).flatten(1).median(dim=1).values
    median = at_least_single(median)
    values = at_least_single(activations).transpose(0, 1).flatten(1)
    return Statistics(median, (values - median[:, None]).square().mean(dim=1))


def mix(source: Statistics, current: Statistics, source_share: float | Tensor) -> Statistics:
    """Return ``source_share * source + (1 - source_share) * current``."""
    rest = 1.0 - source_share
    return Statistics(
        source_share * source.mean + rest * current.mean,
        source_share * source.variance + rest * current.variance,
    )


def normalize(
    activations: Tensor,
    statistics: Statistics,
    weight: Tensor | None,
    bias: Tensor | None,
    epsilon: float,
) -> Tensor:
    r"""Return :math:`\gamma (a - \mu) / \sqrt{v + \epsilon} + \beta`, differentiably."""
    scale = torch.rsqrt(statistics.variance + epsilon)
    if weight is not None:
        scale = scale * weight
    shift = -statistics.mean * scale
    if bias is not None:
        shift = shift + bias
    normalized = torch.addcmul(
        channels_first(shift, activations.ndim),
        activations,
        channels_first(scale, activations.ndim),
    )
    return normalized.to(activations.dtype)
