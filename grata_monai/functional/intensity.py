# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Intensity changes of a batch of images, with one factor per sample and channel.

Every function leaves its input as it is. Where nothing is to be done, the input itself is returned.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_RANGE_GUARD = 1e-7
"""Added to the range of a channel before its gamma, as batchgenerators does."""


def rescale_intensity(images: Tensor) -> Tensor:
    """Rescale every sample to [0, 1] by its minimum and maximum over all channels and pixels.

    A constant sample becomes zeros (the authors' code divides zero by zero there).

    Args:
        images: Bx..., at least one element per sample.

    Shape:
        Output: as the input; floating point.

    Example:
        >>> rescale_intensity(torch.tensor([[2.0, 4.0, 3.0], [7.0, 7.0, 7.0]]))
        tensor([[0.0000, 1.0000, 0.5000],
                [0.0000, 0.0000, 0.0000]])
    """
    low, high = images.flatten(1).aminmax(dim=1)
    shape = (-1,) + (1,) * (images.ndim - 1)
    span = (high - low).reshape(shape)
    return (images - low.reshape(shape)) / torch.where(span == 0, torch.ones_like(span), span)


def scale_brightness(images: Tensor, factors: Tensor, selected: Tensor | None = None) -> Tensor:
    """Multiply every channel by its factor; nothing is clipped.

    Args:
        images: BxCx*spatial, floating point.
        factors: BxC.
        selected: B booleans, which samples to change; default: all.

    Raises:
        TypeError: If the images are not floating point.
        ValueError: If ``factors`` or ``selected`` does not fit the images.
    """
    return _change(images, factors, selected, torch.mul)


def scale_contrast(images: Tensor, factors: Tensor, selected: Tensor | None = None) -> Tensor:
    """Scale every channel's distances from its mean, then clip to the channel's former range.

    Arguments and errors as in :func:`scale_brightness`.
    """
    return _change(images, factors, selected, _contrast)


def adjust_inverted_gamma(images: Tensor, gammas: Tensor, selected: Tensor | None = None) -> Tensor:
    r"""Raise the negative of every channel to a power, within the channel's own range.

    .. math:: x' = \max(x) - r \Big(\frac{\max(x) - x}{r}\Big)^\gamma,\;
        r = \max(x) - \min(x) + 10^{-7}

    Gammas above 1 brighten. Arguments and errors as in :func:`scale_brightness`.
    """
    return _change(images, gammas, selected, _inverted_gamma)


def _change(
    images: Tensor,
    factors: Tensor,
    selected: Tensor | None,
    operation: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Apply an operation to the selected samples; factors come shaped to broadcast."""
    _check(images, factors, selected)
    factors = factors.to(images).reshape(*factors.shape, *[1] * (images.ndim - 2))
    if selected is None or bool(selected.all()):
        return operation(images, factors)
    if not bool(selected.any()):
        return images
    index = selected.nonzero().flatten().to(images.device)
    return images.index_copy(0, index, operation(images[index], factors[index]))


def _contrast(images: Tensor, factors: Tensor) -> Tensor:
    spatial = tuple(range(2, images.ndim))
    mean = images.mean(spatial, keepdim=True)
    low, high = images.amin(spatial, keepdim=True), images.amax(spatial, keepdim=True)
    return ((images - mean) * factors + mean).clamp(low, high)


def _inverted_gamma(images: Tensor, gammas: Tensor) -> Tensor:
    spatial = tuple(range(2, images.ndim))
    low, high = images.amin(spatial, keepdim=True), images.amax(spatial, keepdim=True)
    span = high - low + _RANGE_GUARD
    return high - ((high - images) / span) ** gammas * span


def _check(images: Tensor, factors: Tensor, selected: Tensor | None) -> None:
    if not images.is_floating_point():
        raise TypeError(
            f"'images' must be floating point, got {images.dtype}; call .float() first."
        )
    if factors.shape != images.shape[:2]:
        raise ValueError(
            "'factors' must hold one value per sample and channel, "
            f"{tuple(images.shape[:2])}. Got the shape {tuple(factors.shape)}."
        )
    if selected is not None and selected.shape != images.shape[:1]:
        raise ValueError(
            f"'selected' must hold one boolean per sample, {tuple(images.shape[:1])}. "
            f"Got the shape {tuple(selected.shape)}."
        )
