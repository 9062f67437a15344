# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How much of the source's statistics to mix in, and scale and shift that absorb the mixing."""

from __future__ import annotations

import torch
from torch import Tensor

from grata_monai.functional.bn_statistics import Statistics, batch_statistics


def instance_statistics(activations: Tensor) -> Statistics:
    """Return mean and unbiased variance of each image and channel, BxC.

    Args:
        activations: BxCx*spatial.
    """
    one = activations.flatten(0, 1)[None]  # an image with the channels of all
    return Statistics(
        *(value.view(len(activations), -1) for value in batch_statistics(one, unbiased=True))
    )


def statistics_distance(first: Statistics, second: Statistics) -> Tensor:
    r"""Return the mean over channels of :math:`(\mu_a - \mu_b)^2 + (\sqrt{v_a} - \sqrt{v_b})^2`."""
    means = (first.mean - second.mean).square()
    deviations = (first.variance.sqrt() - second.variance.sqrt()).square()
    return (means + deviations).mean(dim=-1)


def adaptive_source_share(source: Statistics, batch: Statistics, instances: Statistics) -> Tensor:
    r"""Return AdaMixBN's share λ of the source's statistics.

    .. math:: \lambda = \mathrm{mean}_i \Big(1 - \frac{d(s, t)}{d(s, t) + d(i, s) + d(i, t)}\Big)

    with source s, batch t and its images i, each term clipped to [0, 1]. A batch of one image has
    i = t and thus λ = 1/2, as have statistics that are all the same.

    Args:
        source: Statistics of shape C.
        batch: Statistics of shape C.
        instances: Statistics of shape BxC.

    Reference:
        J. Zhang et al., "DomainAdaptor: A Novel Approach to Test-time Adaptation", ICCV 2023.
    """
    to_batch = statistics_distance(source, batch)
    total = to_batch + statistics_distance(instances, source)
    total = total + statistics_distance(instances, batch)
    share = torch.where(total > 0, 1.0 - to_batch / total, torch.full_like(total, 0.5))
    return share.clamp(0.0, 1.0).mean()


def rectified_affine(
    weight: Tensor,
    bias: Tensor,
    *,
    source: Statistics,
    current: Statistics,
    source_share: float | Tensor,
    epsilon: float,
) -> tuple[Tensor, Tensor]:
    r"""Return scale and shift under which current statistics give what mixed ones gave.

    .. math::
        \gamma' = \gamma \sqrt{\frac{v_t + \epsilon}{v_m + \epsilon}}, \qquad
        \beta' = \beta + \gamma \frac{\lambda (\mu_t - \mu_s)}{\sqrt{v_m + \epsilon}}, \qquad
        v_m = \lambda v_s + (1 - \lambda) v_t

    Args:
        weight: γ.
        bias: β.
        source: Source statistics, μ_s and v_s.
        current: Statistics that the layer will normalize with, μ_t and v_t.
        source_share: λ in [0, 1].
        epsilon: ε of the layer.
    """
    mixed = source_share * source.variance + (1.0 - source_share) * current.variance
    scale = weight * torch.rsqrt(mixed + epsilon)
    rectified = scale * torch.sqrt(current.variance + epsilon)
    return rectified, bias + scale * source_share * (current.mean - source.mean)
