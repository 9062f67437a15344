# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Recovery of the full image from one of half its side."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from grata_monai.objectives.base import Objective
from grata_monai.transforms.degrade import downsample


class SuperResolution(Objective):
    r"""Squared error between the image and its super-resolved half-size copy (Table 5, "sup").

    .. math:: L_{sup} = \mathrm{mean}\, (\sigma(u(x_{\downarrow 2})) - x)^2

    Differs from the paper's text, which says "a factor of four": as in the authors' code that is
    two per side. Height and width must be multiples of 64 for a network that needs 32.

    Reference:
        Z. Chen et al., AAAI 2025.
    """

    required_head = "super_resolution"

    def __call__(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the error; no random numbers are drawn."""
        return mse_loss(torch.sigmoid(self.run_head(network, downsample(images))), images)
