# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Small trainable parts around a frozen network: an input decorator and a shape prompt (PASS).

Both are functions of plain tensors, held in one dictionary, so that they can be copied, averaged
and stored; they work in 1D to 3D. Fresh ones change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from grata_monai.functional.precision import at_least_single

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
_MODES = ("linear", "bilinear", "trilinear")


def draw_prompts(
    images: Tensor, features: Tensor, generator: torch.Generator, *, hidden: int = 64
) -> dict[str, Tensor]:
    """Return fresh prompts for images and the bottleneck features that a network makes of them.

    The decorator's last convolution and the shape prompt are zero; all else is uniform within
    one over the square root of its number of inputs. All are at least float32, as what is trained
    should be.

    Args:
        images: BxCx*spatial.
        features: BxFx*spatial, usually smaller.
        generator: CPU generator.
        hidden: Channels between the decorator's two convolutions.
    """
    images, features = at_least_single(images), at_least_single(features)
    channels, width = images.shape[1], features.shape[1]
    pixel, kernel = (1,) * (images.ndim - 2), (3,) * (features.ndim - 2)

    def uniform(like: Tensor, shape: Sequence[int]) -> Tensor:
        bound = 1.0 / math.sqrt(math.prod(shape[1:]))
        numbers = torch.rand(*shape, generator=generator, dtype=torch.float64)
        return ((2.0 * numbers - 1.0) * bound).to(like)

    return {
        "decorator_in": uniform(images, (hidden, channels, *pixel)),
        "decorator_out": images.new_zeros(channels, hidden, *pixel),
        "decorator_shift": images.new_zeros(channels),
        "shape": features.new_zeros(1, *features.shape[1:]),
        "query": uniform(features, (width, 1, *kernel)),
        "key": uniform(features, (width, 1, *kernel)),
        "value": uniform(features, (width, 1, *kernel)),
    }


def decorate_input(images: Tensor, prompts: Mapping[str, Tensor]) -> Tensor:
    r"""Return :math:`x + D(x)`: 1x1 convolution, instance norm, ReLU, 1x1 convolution.

    Args:
        images: BxCx*spatial.
        prompts: As from ``draw_prompts``.
    """
    convolve = _CONVOLUTIONS[images.ndim - 3]
    first, second, shift = (
        prompts[f"decorator_{name}"].to(images) for name in ("in", "out", "shift")
    )
    hidden = F.instance_norm(convolve(images, first)).relu()
    return images + convolve(hidden, second, shift)


def modulate_features(
    features: Tensor, prompts: Mapping[str, Tensor], *, kept_share: float = 0.1
) -> Tensor:
    r"""Return features plus what they take from the shape prompt by attention between channels.

    With q from the features, k and v from the prompt, each by a depthwise convolution of width 3
    and flattened to N positions,

    .. math:: a = \mathrm{softmax}_j(q_i \cdot k_j / \sqrt N), \qquad
        h'_i = h_i + \sum_j \hat a_{ij} v_j

    where :math:`\hat a` keeps of each prompt channel (column j) the largest weights only.

    Args:
        features: BxFx*spatial.
        prompts: As from ``draw_prompts``; a shape prompt of another size is resized.
        kept_share: Share of the weights of a column that is kept, in (0, 1]; at least one is.
    """
    shape = prompts["shape"].to(features)
    if shape.shape[2:] != features.shape[2:]:
        mode = _MODES[features.ndim - 3]
        shape = F.interpolate(shape, features.shape[2:], mode=mode, align_corners=False)
    width = features.shape[1]

    def filtered(values: Tensor, name: str) -> Tensor:
        convolve = _CONVOLUTIONS[features.ndim - 3]
        return convolve(values, prompts[name].to(features), padding=1, groups=width).flatten(2)

    query, key, value = (
        filtered(features, "query"),
        filtered(shape, "key"),
        filtered(shape, "value"),
    )
    scores = query @ key.transpose(1, 2) / math.sqrt(query.shape[2])
    taken = keep_largest(scores.softmax(dim=2), kept_share) @ value
    return features + taken.view_as(features)


def keep_largest(weights: Tensor, share: float) -> Tensor:
    """Return weights with all but the largest of each column set to zero.

    Args:
        weights: BxRxC; columns run along R.
        share: Share of R that is kept, in (0, 1], rounded up.

    Example:
        >>> keep_largest(torch.tensor([[[0.9, 0.2], [0.1, 0.8]]]), 0.5)
        tensor([[[0.9000, 0.0000],
                 [0.0000, 0.8000]]])
    """
    count = max(1, math.ceil(share * weights.shape[1] - 1e-9))
    largest = weights.topk(count, dim=1).indices
    kept = torch.zeros_like(weights, dtype=torch.bool).scatter_(1, largest, True)
    return torch.where(kept, weights, torch.zeros_like(weights))
