# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Reconstruction of the image from the bottleneck."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from grata_monai.objectives.base import Objective


class Reconstruction(Objective):
    r"""Squared error between the image and its reconstruction (paper Table 5, "rec").

    .. math:: L_{rec} = \mathrm{mean}\, (\sigma(r(x)) - x)^2

    Reference:
        Z. Chen et al., AAAI 2025. How the authors trained the head is not published.
    """

    required_head = "reconstruction"

    def __call__(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the error; no random numbers are drawn."""
        return mse_loss(torch.sigmoid(self.run_head(network, images)), images)
