# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Recovery of the clean image from a noisy one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from grata_monai._checks import check_number
from grata_monai.objectives.base import Objective
from grata_monai.transforms.degrade import add_gaussian_noise


class Denoising(Objective):
    r"""Squared error between the clean image and the denoised noisy one (paper Table 5, "den").

    .. math:: L_{den} = \mathrm{mean}\, (\sigma(d(x + \epsilon)) - x)^2,\;
        \epsilon \sim \mathcal{N}(0, s^2)

    Args:
        std: s in units of the image; 0.1 as in the authors' code (their text: standard normal).

    Reference:
        Z. Chen et al., AAAI 2025.
    """

    required_head = "denoising"

    def __init__(self, *, std: float = 0.1) -> None:
        check_number("Denoising", "std", std, minimum=0.0)
        self.std = std

    def __call__(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the error for one draw of noise."""
        noisy = add_gaussian_noise(images, self.std, generator)
        return mse_loss(torch.sigmoid(self.run_head(network, noisy)), images)
