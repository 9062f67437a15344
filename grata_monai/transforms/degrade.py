# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Make images worse on purpose, for self-supervised tasks: noise, blind spots, down-sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def gaussian_noise_like(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard normal noise of the images' shape, drawn on their own device.

    Only a seed is drawn from the (CPU) generator; so nothing is copied to a GPU, and on CPU the
    same generator state gives the same bits.
    """
    seed = int(torch.randint(2**62, (1,), generator=generator))
    own = torch.Generator(images.device).manual_seed(seed)
    return torch.randn(images.shape, generator=own, device=images.device, dtype=images.dtype)


def add_gaussian_noise(images: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Return images plus N(0, std²), not clipped.

    Args:
        images: BxCx*spatial.
        std: Standard deviation in units of the images.
        generator: CPU generator to draw from.
    """
    return images + std * gaussian_noise_like(images, generator)


def draw_blind_spots(
    size: Sequence[int],
    generator: torch.Generator,
    *,
    fraction: float = 0.1,
    radius: int = 2,
) -> tuple[Tensor, Tensor]:
    """Return which pixels to replace and by which neighbours, as flat indices on the CPU.

    ⌊fraction * pixels⌋ positions are drawn, with replacement, and for each an offset of up to
    ``radius`` along every axis, which wraps at the borders and may be none.

    Args:
        size: Spatial size of one image.
        generator: CPU generator to draw from.
        fraction: Share of pixels to draw, in [0, 1].
        radius: Largest offset, >= 0.
    """
    count = int(fraction * math.prod(size))
    positions = torch.randint(math.prod(size), (count,), generator=generator)
    offsets = torch.randint(-radius, radius + 1, (count, len(size)), generator=generator)
    neighbours, stride = torch.zeros_like(positions), 1
    for axis in reversed(range(len(size))):
        coordinate = positions.div(stride, rounding_mode="floor") % size[axis]
        neighbours += stride * ((coordinate + offsets[:, axis]) % size[axis])
        stride *= size[axis]
    return positions, neighbours


def corrupt_blind_spots(
    images: Tensor, generator: torch.Generator, *, fraction: float = 0.1, radius: int = 2
) -> tuple[Tensor, Tensor]:
    """Replace random pixels by neighbours of theirs, in all channels alike (Noise2Void).

    Neighbours' values are those of the uncorrupted image; each image of a batch has draws of its
    own. Of several draws for one pixel the last counts.

    Args:
        images: BxCx*spatial.
        generator: CPU generator to draw from.
        fraction: Share of pixels to draw, in [0, 1]; 0.1 as in DeTTA.
        radius: Largest distance along each axis, >= 0; 2 (a 5x5 window) as in DeTTA.

    Returns:
        The corrupted images, and Bx1x*spatial booleans that tell which pixels were drawn.

    Reference:
        A. Krull et al., "Noise2Void: Learning Denoising from Single Noisy Images", CVPR 2019.
    """
    size = images.shape[2:]
    sources, drawn = [], []
    for _ in range(images.shape[0]):
        positions, neighbours = draw_blind_spots(size, generator, fraction=fraction, radius=radius)
        last = torch.full((math.prod(size),), -1)
        last.scatter_reduce_(0, positions, torch.arange(len(positions)), "amax")
        hit = last >= 0
        source = torch.arange(len(last))
        source[hit] = neighbours[last[hit]]
        sources.append(source)
        drawn.append(hit)
    index = torch.stack(sources)[:, None].to(images.device).expand(-1, images.shape[1], -1)
    corrupted = images.flatten(2).gather(2, index).view_as(images)
    return corrupted, torch.stack(drawn).view(-1, 1, *size).to(images.device)


def downsample(images: Tensor, factor: int = 2) -> Tensor:
    """Return images smaller by a factor per side, bilinear with aligned corners.

    Args:
        images: BxCxHxW.
        factor: By how much to divide height and width.
    """
    size = [side // factor for side in images.shape[-2:]]
    return interpolate(images, size=size, mode="bilinear", align_corners=True)
