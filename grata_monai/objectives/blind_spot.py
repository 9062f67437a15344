# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Recovery of pixels that were replaced by neighbours of theirs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grata_monai._checks import check_number
from grata_monai.objectives.base import Objective
from grata_monai.transforms.degrade import corrupt_blind_spots


class BlindSpot(Objective):
    r"""Absolute error of the denoised image at blind spots (Noise2Void, as DeTTA uses it).

    .. math::
        L = \mathrm{mean}\, |(1 - B) (\sigma(d(\tilde x)) - x)|

    where :math:`\tilde x` has the pixels with B = 0 replaced by random neighbours. The mean is
    over all pixels, so that it is about ten times smaller than over the replaced ones.

    Args:
        fraction: Share of pixels to draw, in [0, 1]; 0.1 (DeTTA).
        radius: Largest distance of the neighbour along each axis, >= 0; 2 (DeTTA).

    Reference:
        R. Wen et al., "From Denoising Training to Test-Time Adaptation: Enhancing Domain
        Generalization for Medical Image Segmentation", WACV 2024, arXiv:2310.20271; A. Krull et
        al., "Noise2Void", CVPR 2019.
    """

    required_head = "denoising"

    def __init__(self, *, fraction: float = 0.1, radius: int = 2) -> None:
        check_number("BlindSpot", "fraction", fraction, minimum=0.0, maximum=1.0)
        check_number("BlindSpot", "radius", radius, minimum=0, integer=True)
        self.fraction = fraction
        self.radius = radius

    def __call__(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the error for one draw of blind spots per image."""
        corrupted, drawn = self.corrupt(images, generator)
        denoised = torch.sigmoid(self.run_head(network, corrupted))
        return ((denoised - images).abs() * drawn).mean()

    def corrupt(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return corrupted images and which pixels were drawn."""
        return corrupt_blind_spots(images, generator, fraction=self.fraction, radius=self.radius)
