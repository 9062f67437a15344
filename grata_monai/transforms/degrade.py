# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Make images worse on purpose, for the self-supervised tasks: noise and down-sampling."""

from __future__ import annotations

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


def downsample(images: Tensor, factor: int = 2) -> Tensor:
    """Return images smaller by a factor per side, bilinear with aligned corners.

    Args:
        images: BxCxHxW.
        factor: By how much to divide height and width.
    """
    size = [side // factor for side in images.shape[-2:]]
    return interpolate(images, size=size, mode="bilinear", align_corners=True)
