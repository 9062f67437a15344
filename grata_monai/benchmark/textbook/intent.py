# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""InTEnt the plain way."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.ensembles import balanced_entropy, mixture_logits
from grata_monai.benchmark.textbook.statistics import OtherBatchNorm, replace_batch_norms

LEVELS = 6


class InTEnt(Textbook):
    """Predict with six mixtures of source and current statistics, and trust the surest most.

    Reference:
        H. Dong et al., "Medical Image Segmentation with InTEnt", CVPR Workshops 2024.
    """

    def __init__(self, network: nn.Module, *, seed: int = 0) -> None:
        super().__init__(network, seed=seed)
        replace_batch_norms(self.network, LevelBatchNorm)
        self.layers = [m for m in self.network.modules() if isinstance(m, LevelBatchNorm)]

    @torch.no_grad()
    def step(self, image: Tensor) -> Tensor:
        """Return the mean prediction; nothing is kept."""
        predictions, entropies = [], []
        for level in range(LEVELS):
            for layer in self.layers:
                layer.current_share = level / (LEVELS - 1)
            logits = self.network(image)
            predictions.append(logits)
            entropies.append(balanced_entropy(logits))
        sureness = -torch.tensor(entropies, dtype=image.dtype)
        span = sureness.amax(dim=0) - sureness.amin(dim=0)
        sureness = (sureness - sureness.amin(dim=0)) / torch.where(span > 0, span, 1.0)
        return mixture_logits(predictions, torch.softmax(sureness, dim=0))


class LevelBatchNorm(OtherBatchNorm):
    """Source statistics with a share of the image's, unbiased as torch's running ones.

    Args:
        layer: The layer of the source network.
    """

    def __init__(self, layer: _BatchNorm) -> None:
        super().__init__(layer)
        self.current_share = 0.0

    def forward(self, a: Tensor) -> Tensor:
        """Return the normalized activations."""
        share = self.current_share
        mean = share * a.mean(dim=(0, 2, 3)) + (1 - share) * self.running_mean
        variance = share * a.var(dim=(0, 2, 3), correction=1) + (1 - share) * self.running_var
        return F.batch_norm(a, mean, variance, self.weight, self.bias, eps=self.eps)
