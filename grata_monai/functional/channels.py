# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Mean and deviation of an image's channels, and how to bring them to those of others."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from grata_monai.functional.bn_statistics import channels_first

SMALLEST_DEVIATION = 1e-4


class ChannelStatistics(NamedTuple):
    """Mean and (biased) standard deviation of each channel, both of shape C."""

    mean: Tensor
    deviation: Tensor


def channel_statistics(image: Tensor) -> ChannelStatistics:
    """Return the statistics of one image, 1xCx*spatial."""
    variance, mean = torch.var_mean(image.flatten(2), dim=(0, 2), correction=0)
    return ChannelStatistics(mean, variance.sqrt())


def match_channels(image: Tensor, target: ChannelStatistics, strength: float) -> Tensor:
    r"""Move an image's channels towards other statistics.

    .. math::
        x_t = (x - m) \left(\frac{S}{s}\right)^t + m + t\,(M - m)

    with m, s the image's mean and deviation per channel, M, S the target's. Strength 0 returns
    the image bit for bit, 1 has exactly the target's statistics. A channel without any variation
    is only shifted. Values may leave [0, 1].

    Args:
        image: 1xCx*spatial.
        target: M and S.
        strength: t in [0, 1].

    Example:
        >>> image = torch.tensor([[[0.0, 0.2, 0.4]]])
        >>> target = ChannelStatistics(torch.tensor([0.5]), torch.tensor([0.32659863]))
        >>> match_channels(image, target, 1.0)
        tensor([[[0.1000, 0.5000, 0.9000]]])
    """
    if strength == 0.0:
        return image
    mean, deviation = channel_statistics(image)
    known = deviation > SMALLEST_DEVIATION
    ratio = torch.where(known, target.deviation / deviation.clamp_min(SMALLEST_DEVIATION), 1.0)
    scale = channels_first(ratio**strength, image.ndim)
    center = channels_first(mean, image.ndim)
    return (
        (image - center) * scale
        + center
        + strength * (channels_first(target.mean - mean, image.ndim))
    )
