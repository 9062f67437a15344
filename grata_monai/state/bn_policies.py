# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Which statistics batch-normalization layers use, whatever train() or eval() says."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai._checks import check_number
from grata_monai.functional import bn_statistics
from grata_monai.functional.batch_normalization import batch_normalize, batch_normalize_groups
from grata_monai.functional.bn_statistics import Statistics

_FEWEST_FOR_MEDIAN = 1024


class StatisticsPolicy(ABC):
    """How batch-normalization layers normalize; one object serves all layers of a network."""

    needs_source = True
    """Whether layers must have running statistics of the source."""
    separates_samples = False
    """Whether the output depends on layer and activations only, so that parts of a batch can be
    normalized as batches of their own."""
    group_size: int | None = None
    """How many consecutive samples are a batch of their own; see ``separate_samples``."""

    def __init_subclass__(cls) -> None:
        """Take no other ``normalize`` for one that separates samples unless it says so itself."""
        super().__init_subclass__()
        if "normalize" in vars(cls) and "separates_samples" not in vars(cls):
            cls.separates_samples = False

    @abstractmethod
    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """Return the layer's output.

        Args:
            name: The layer's name in the network; policies with a memory key it by this.
            layer: The layer, whose buffers must not be changed.
            activations: BxCx*spatial.
        """

    def normalize_groups(
        self, name: str, layer: _BatchNorm, activations: Tensor, size: int
    ) -> Tensor:
        """Return the layer's output where each ``size`` samples are a batch of their own.

        Only for policies that separate samples.
        """
        parts = [self.normalize(name, layer, part) for part in torch.split(activations, size)]
        return torch.cat(parts)

    def forward(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """Return the layer's output, of the batch as a whole or of its groups."""
        size = self.group_size
        if size is None or size == len(activations):
            return self.normalize(name, layer, activations)
        return self.normalize_groups(name, layer, activations, size)

    def reset(self) -> None:  # noqa: B027 - most policies have no memory
        """Forget what was seen."""

    def state_dict(self) -> dict[str, Any]:
        """Return the policy's memory (empty for those without)."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take over a memory."""


class SourceStatistics(StatisticsPolicy):
    """The source's running statistics, as in evaluation mode (No Adapt)."""

    separates_samples = True

    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """See base class."""
        return normalize_with_constants(layer, activations, source_statistics(layer))

    def normalize_groups(
        self, name: str, layer: _BatchNorm, activations: Tensor, size: int
    ) -> Tensor:
        """See base class; there are no groups to tell apart."""
        return self.normalize(name, layer, activations)


class BatchStatistics(StatisticsPolicy):
    """Mean and biased variance of the current input (transductive; every gradient method)."""

    needs_source = False
    separates_samples = True

    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """See base class."""
        return normalize_with_batch(name, layer, activations)

    def normalize_groups(
        self, name: str, layer: _BatchNorm, activations: Tensor, size: int
    ) -> Tensor:
        """See base class."""
        require_variance(name, activations[:size])
        return batch_normalize_groups(activations, layer.weight, layer.bias, layer.eps, size=size)


class MixedStatistics(StatisticsPolicy):
    r"""A fixed mixture :math:`\lambda` source + :math:`(1 - \lambda)` current.

    Args:
        source_share: λ in [0, 1]; 1 is the source, 0 the current input.
        unbiased: Use the current input's unbiased variance.
    """

    separates_samples = True

    def __init__(self, *, source_share: float = 0.5, unbiased: bool = False) -> None:
        check_number("MixedStatistics", "source_share", source_share, minimum=0.0, maximum=1.0)
        self.source_share = source_share
        self.unbiased = unbiased

    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """See base class."""
        if self.unbiased:
            require_variance(name, activations)
        current = bn_statistics.batch_statistics(activations, unbiased=self.unbiased)
        mixed = bn_statistics.mix(source_statistics(layer), current, self.source_share)
        return _normalize_with(layer, activations, mixed)


class MedianStatistics(StatisticsPolicy):
    """Median and mean squared distance from it of the current input (MedBN).

    Args:
        stride: Take the median over every stride-th row and column only, at least 1, in layers
            where that leaves 1024 values or more; smaller ones cost little and need all.
    """

    needs_source = False
    separates_samples = True

    def __init__(self, *, stride: int = 1) -> None:
        check_number("MedianStatistics", "stride", stride, minimum=1, integer=True)
        self.stride = stride

    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """See base class."""
        left = math.prod(-(-size // self.stride) for size in activations.shape[2:])
        stride = self.stride if left * activations.shape[0] >= _FEWEST_FOR_MEDIAN else 1
        statistics = bn_statistics.median_statistics(activations, stride=stride)
        return _normalize_with(layer, activations, statistics)


def source_statistics(layer: _BatchNorm) -> Statistics:
    """Return the running statistics that the source training left in a layer.

    Raises:
        ValueError: If the layer keeps none.
    """
    if layer.running_mean is None or layer.running_var is None:
        raise ValueError("The layer keeps no running statistics (track_running_stats=False).")
    return Statistics(layer.running_mean, layer.running_var)


def normalize_with_constants(layer: _BatchNorm, activations: Tensor, at: Statistics) -> Tensor:
    """Return a layer's output with given statistics, as in evaluation mode."""
    mean, variance = at
    if layer.weight is not None:  # torch wants all of a layer's own to be of one kind
        mean, variance = mean.to(layer.weight.dtype), variance.to(layer.weight.dtype)
    return F.batch_norm(
        activations, mean, variance, layer.weight, layer.bias, False, 0.0, layer.eps
    )


def _normalize_with(layer: _BatchNorm, activations: Tensor, at: Statistics) -> Tensor:
    return bn_statistics.normalize(activations, at, layer.weight, layer.bias, layer.eps)


def normalize_with_batch(name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
    """Return a layer's output with the input's own statistics, as in training mode.

    Raises:
        ValueError: If there is one value per channel only.
    """
    require_variance(name, activations)
    return batch_normalize(activations, layer.weight, layer.bias, layer.eps)


def require_variance(name: str, activations: Tensor) -> None:
    """Check that activations have a variance.

    Raises:
        ValueError: If there is one value per channel only.
    """
    if activations.numel() < 2 * activations.shape[1]:
        raise ValueError(
            f"Layer {name!r} sees one value per channel (activations of shape "
            f"{tuple(activations.shape)}), which has no variance; use larger images."
        )
