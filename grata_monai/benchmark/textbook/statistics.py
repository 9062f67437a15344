# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Batch normalization with other statistics than torch offers, as layers to put in its place."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class OtherBatchNorm(nn.Module):
    """A layer with the scale, shift and source statistics of another, to be normalized anew.

    Args:
        layer: Batch normalization with scale and shift that keeps running statistics.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, layer: _BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = layer.weight, layer.bias, layer.eps
        self.register_buffer("running_mean", layer.running_mean)
        self.register_buffer("running_var", layer.running_var)

    def normalize(self, a: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the layer's output for statistics of shape C."""
        mean, variance = mean[None, :, None, None], variance[None, :, None, None]
        normalized = (a - mean) / torch.sqrt(variance + self.eps)
        return normalized * self.weight[None, :, None, None] + self.bias[None, :, None, None]


class MixedBatchNorm(OtherBatchNorm):
    """Normalize with a fixed mixture of source and current statistics (biased variance).

    Args:
        layer: Batch normalization that keeps running statistics.
        source_share: Share of the source.
    """

    def __init__(self, layer: _BatchNorm, source_share: float) -> None:
        super().__init__(layer)
        self.source_share = source_share

    def forward(self, a: Tensor) -> Tensor:
        """Return the normalized activations."""
        share = self.source_share
        mean = a.mean(dim=(0, 2, 3))
        variance = a.var(dim=(0, 2, 3), correction=0)
        mean = share * self.running_mean + (1 - share) * mean
        variance = share * self.running_var + (1 - share) * variance
        return self.normalize(a, mean, variance)


class MedianBatchNorm(OtherBatchNorm):
    """Normalize with the current median and the mean squared distance from it."""

    def forward(self, a: Tensor) -> Tensor:
        """Return the normalized activations."""
        values = a.transpose(0, 1).flatten(1)
        median = values.median(dim=1).values
        return self.normalize(a, median, ((values - median[:, None]) ** 2).mean(dim=1))


def replace_batch_norms(network: nn.Module, make: Callable[[_BatchNorm], nn.Module]) -> None:
    """Put another layer in the place of each batch normalization inside a network.

    Args:
        network: The network to change.
        make: Layer -> what takes its place.
    """
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if isinstance(module, _BatchNorm):
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, make(module))
