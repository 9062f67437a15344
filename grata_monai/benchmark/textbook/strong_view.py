# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The strong view in numpy and scipy on the CPU, as batchgenerators would compute it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

Array = NDArray[np.floating]


class StrongView:
    """Change an image's style at random, then rescale it to [0, 1] over all channels.

    In this order: brightness, contrast and inverted gamma per channel (each with probability
    0.75), noise of one standard deviation and blur of some channels (each with 0.5).

    Args:
        seed: Seed of all draws.
    """

    def __init__(self, seed: int = 0) -> None:
        self.generator = np.random.default_rng(seed)

    def __call__(self, image: Tensor) -> Tensor:
        """Return the strong view of an image 1xCxHxW, which is left as it is."""
        pixels = self.change(image[0].detach().cpu().numpy())
        return torch.from_numpy(np.ascontiguousarray(pixels))[None].to(image)

    def change(self, image: Array) -> Array:
        """Return the strong view of an array CxHxW."""
        draw, channels = self.generator, len(image)
        if draw.random() < 0.75:
            image = brightness(image, [draw.uniform(0.5, 1.5) for _ in range(channels)])
        if draw.random() < 0.75:
            image = contrast(image, [self._around_one(0.5, 1.5) for _ in range(channels)])
        if draw.random() < 0.75:
            image = inverted_gamma(image, [self._around_one(0.5, 2.0) for _ in range(channels)])
        if draw.random() < 0.5:
            image = add_noise(image, draw.uniform(0.0, 0.05), draw)
        if draw.random() < 0.5:
            chosen = [draw.random() < 0.5 for _ in range(channels)]
            image = blur(image, [draw.uniform(0.5, 1.5) if one else 0.0 for one in chosen])
        return rescale(image)

    def _around_one(self, low: float, high: float) -> float:
        """Return a factor, below 1 as often as above."""
        if self.generator.random() < 0.5:
            return self.generator.uniform(low, 1.0)
        return self.generator.uniform(1.0, high)


def brightness(image: Array, factors: Sequence[float]) -> Array:
    """Multiply each channel by its factor."""
    return _stack(image, [channel * f for channel, f in zip(image, factors, strict=True)])


def contrast(image: Array, factors: Sequence[float]) -> Array:
    """Scale each channel's distances from its mean; clip to the channel's former range."""
    changed = []
    for channel, factor in zip(image, factors, strict=True):
        mean = channel.mean()
        changed.append(np.clip((channel - mean) * factor + mean, channel.min(), channel.max()))
    return _stack(image, changed)


def inverted_gamma(image: Array, exponents: Sequence[float]) -> Array:
    """Raise the negative of each channel, scaled to [0, 1], to its power."""
    changed = []
    for channel, exponent in zip(-image, exponents, strict=True):
        low = channel.min()
        span = channel.max() - low + 1e-7
        changed.append(-(((channel - low) / span) ** exponent * span + low))
    return _stack(image, changed)


def add_noise(image: Array, deviation: float, generator: np.random.Generator) -> Array:
    """Add independent Gaussian noise to each value."""
    noise = generator.normal(0.0, deviation, size=image.shape)
    return image + noise.astype(image.dtype, copy=False)


def blur(image: Array, sigmas: Sequence[float]) -> Array:
    """Blur each channel whose sigma is not 0."""
    changed = [
        gaussian_filter(channel, sigma) if sigma > 0 else channel
        for channel, sigma in zip(image, sigmas, strict=True)
    ]
    return _stack(image, changed)


def rescale(image: Array) -> Array:
    """Rescale an image to [0, 1] by its own minimum and maximum; zeros where it is constant."""
    low, high = image.min(), image.max()
    span = high - low
    return cast("Array", (image - low) / (span if span > 0 else 1))


def _stack(image: Array, channels: Sequence[Array]) -> Array:
    return np.stack(channels).astype(image.dtype, copy=False)
