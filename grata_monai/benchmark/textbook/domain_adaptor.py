# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DomainAdaptor the plain way."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.statistics import OtherBatchNorm, replace_batch_norms

SOURCE_SHARE = 0.5  # what the method's distances give for every batch of one image


class DomainAdaptor(Textbook):
    """One descent on the generalized entropy; each image begins at the source.

    Args:
        network: The source network.
        beta: Learning rate.
        seed: Of no effect.

    Reference:
        J. Zhang et al., "DomainAdaptor: A Novel Approach to Test-time Adaptation", ICCV 2023.
    """

    def __init__(self, network: nn.Module, *, beta: float = 1e-3, seed: int = 0) -> None:
        super().__init__(network, seed=seed)
        replace_batch_norms(self.network, RectifiedBatchNorm)
        self.layers = [m for m in self.network.modules() if isinstance(m, RectifiedBatchNorm)]
        parameters = [p for layer in self.layers for p in (layer.weight, layer.bias)]
        self.optimizer = torch.optim.SGD(parameters, lr=beta)

    def step(self, image: Tensor) -> Tensor:
        """Rectify scale and shift, and make one step on them."""
        for layer in self.layers:
            layer.new_image = True
        logits = self.network(image)
        self.optimizer.zero_grad()
        generalized_entropy(logits).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        with torch.no_grad():
            adapted: Tensor = self.network(image)
        return adapted


class RectifiedBatchNorm(OtherBatchNorm):
    """Current statistics; at first sight of an image, scale and shift absorb the source's share.

    Args:
        layer: The layer of the source network, with scale and shift.
    """

    def __init__(self, layer: _BatchNorm) -> None:
        super().__init__(layer)
        self.source = (layer.weight.clone(), layer.bias.clone())
        self.weight.requires_grad_(True)
        self.bias.requires_grad_(True)
        self.new_image = True

    def forward(self, a: Tensor) -> Tensor:
        """Return the normalized activations."""
        mean, variance = a.mean(dim=(0, 2, 3)), a.var(dim=(0, 2, 3), correction=1)
        if self.new_image:
            self._rectify(mean.detach(), variance.detach())
            self.new_image = False
        return self.normalize(a, mean, variance)

    @torch.no_grad()
    def _rectify(self, mean: Tensor, variance: Tensor) -> None:
        weight, bias = self.source
        mixed = SOURCE_SHARE * self.running_var + (1 - SOURCE_SHARE) * variance
        scale = weight / torch.sqrt(mixed + self.eps)
        self.weight.copy_(scale * torch.sqrt(variance + self.eps))
        self.bias.copy_(bias + scale * SOURCE_SHARE * (mean - self.running_mean))


def generalized_entropy(logits: Tensor) -> Tensor:
    """Return GEM-T of background, rim and cup, the classes of two nested structures."""
    disc, cup = torch.sigmoid(logits).unbind(dim=1)
    classes = torch.stack([1 - disc, (disc - cup).clamp(min=0), cup], dim=1)
    z = torch.log((classes / classes.sum(dim=1, keepdim=True)).clamp(min=1e-6))
    temperature = (2 * z.detach().std(dim=1, keepdim=True)).clamp(min=1e-6)
    log_p = torch.log_softmax(z / temperature, dim=1)
    return -(log_p.exp() * log_p * temperature**2).sum(dim=1).mean()
