# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussian blur of a batch of images, with one standard deviation per sample and channel."""

from __future__ import annotations

import torch
from torch import Tensor

_TRUNCATE = 4.0
"""Standard deviations after which the kernel ends (the default of scipy)."""


def gaussian_blur(images: Tensor, sigmas: Tensor) -> Tensor:
    """Blur every channel over all its spatial dimensions, on the images' own device.

    Equal to ``scipy.ndimage.gaussian_filter(channel, sigma, mode="reflect", truncate=4.0)``, whose
    "reflect" repeats the border pixel (d c b a | a b c d), also for images smaller than the kernel.
    Sums of shifted copies, not convolutions: those may compute in TF32 on a GPU.

    Args:
        images: BxCx*spatial, floating point; never changed.
        sigmas: BxC standard deviations in pixels; a channel with 0 keeps its bits. If all are 0,
            the input itself is returned.

    Raises:
        TypeError: If the images are not floating point.
        ValueError: If ``sigmas`` does not fit the images or is negative.

    Example:
        >>> impulse = torch.zeros(1, 1, 1, 5)
        >>> impulse[..., 2] = 1
        >>> gaussian_blur(impulse, torch.tensor([[0.5]]))
        tensor([[[[2.6387e-04, 1.0645e-01, 7.8657e-01, 1.0645e-01, 2.6387e-04]]]])
    """
    _check(images, sigmas)
    sigmas = sigmas.detach().to("cpu", torch.float64).flatten()
    index = sigmas.nonzero().flatten()
    if not len(index):
        return images
    weights = _half_kernels(sigmas[index]).to(images)
    index = index.to(images.device)
    channels = images.flatten(0, 1)
    blurred = channels[index]
    for dim in range(1, blurred.ndim):
        blurred = _blur_along(blurred, weights, dim)
    return channels.index_copy(0, index, blurred).reshape(images.shape)


def _half_kernels(sigmas: Tensor) -> Tensor:
    """Return the weights of the distances 0, 1, ... from the center; zeros beyond own radius."""
    radii = (_TRUNCATE * sigmas + 0.5).floor()
    distances = torch.arange(int(radii.max()) + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (distances / sigmas[:, None]) ** 2)
    weights = weights * (distances <= radii[:, None])
    return weights / (2 * weights.sum(1, keepdim=True) - weights[:, :1])


def _blur_along(channels: Tensor, weights: Tensor, dim: int) -> Tensor:
    """Correlate every channel with its symmetric kernel along one dimension."""
    radius, size = weights.shape[1] - 1, channels.shape[dim]
    positions = torch.arange(-radius, size + radius, device=channels.device) % (2 * size)
    padded = channels.index_select(dim, torch.minimum(positions, 2 * size - 1 - positions))
    columns = weights.reshape(*weights.shape, *[1] * (channels.ndim - 1)).unbind(1)
    total = channels * columns[0]
    for distance in range(1, radius + 1):
        left = padded.narrow(dim, radius - distance, size)
        right = padded.narrow(dim, radius + distance, size)
        total.addcmul_(left + right, columns[distance])
    return total


def _check(images: Tensor, sigmas: Tensor) -> None:
    if not images.is_floating_point():
        raise TypeError(
            f"'images' must be floating point, got {images.dtype}; call .float() first."
        )
    if sigmas.shape != images.shape[:2]:
        raise ValueError(
            "'sigmas' must hold one value per sample and channel, "
            f"{tuple(images.shape[:2])}. Got the shape {tuple(sigmas.shape)}."
        )
    if bool((sigmas < 0).any()):
        raise ValueError(f"'sigmas' must not be negative. Got {sigmas.min().item():g}.")
