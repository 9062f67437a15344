# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Which statistics batch-normalization layers use: reversible, and deaf to train()/eval().

A policy takes the place of the layers' ``forward``; module classes, parameters and the source's
running buffers stay as they are, so that checkpoints still load strictly and removal leaves no
trace. (Setting the buffers to None, as is common, does neither.)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai._checks import check_number
from grata_monai.functional import bn_statistics
from grata_monai.functional.bn_statistics import Statistics

_FORWARD = "forward"
_FEWEST_FOR_MEDIAN = 1024


def bn_layers(network: nn.Module) -> list[tuple[str, _BatchNorm]]:
    """Return all batch-normalization layers (1D, 2D, 3D, synchronized) with their names."""
    return [(n, m) for n, m in network.named_modules() if isinstance(m, _BatchNorm)]


class StatisticsPolicy(ABC):
    """How batch-normalization layers normalize; one object serves all layers of a network."""

    needs_source = True
    """Whether layers must have running statistics of the source."""

    @abstractmethod
    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """Return the layer's output.

        Args:
            name: The layer's name in the network; policies with a memory key it by this.
            layer: The layer, whose buffers must not be changed.
            activations: BxCx*spatial.
        """

    def reset(self) -> None:  # noqa: B027 - most policies have no memory
        """Forget what was seen."""

    def state_dict(self) -> dict[str, Any]:
        """Return the policy's memory (empty for those without)."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take over a memory."""


class SourceStatistics(StatisticsPolicy):
    """The source's running statistics, as in evaluation mode (No Adapt)."""

    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """See base class."""
        return normalize_with_constants(layer, activations, source_statistics(layer))


class BatchStatistics(StatisticsPolicy):
    """Mean and biased variance of the current input (transductive; every gradient method)."""

    needs_source = False

    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """See base class."""
        return normalize_with_batch(name, layer, activations)


class MixedStatistics(StatisticsPolicy):
    r"""A fixed mixture :math:`\lambda` source + :math:`(1 - \lambda)` current.

    Args:
        source_share: λ in [0, 1]; 1 is the source, 0 the current input.
        unbiased: Use the current input's unbiased variance.
    """

    def __init__(self, *, source_share: float = 0.5, unbiased: bool = False) -> None:
        check_number("MixedStatistics", "source_share", source_share, minimum=0.0, maximum=1.0)
        self.source_share = source_share
        self.unbiased = unbiased

    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """See base class."""
        if self.unbiased:
            _require_variance(name, activations)
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

    def __init__(self, *, stride: int = 1) -> None:
        check_number("MedianStatistics", "stride", stride, minimum=1, integer=True)
        self.stride = stride

    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """See base class."""
        left = math.prod(-(-size // self.stride) for size in activations.shape[2:])
        stride = self.stride if left * activations.shape[0] >= _FEWEST_FOR_MEDIAN else 1
        statistics = bn_statistics.median_statistics(activations, stride=stride)
        return _normalize_with(layer, activations, statistics)


class _PolicyForward(partial[Tensor]):
    """A layer's ``forward`` under a policy."""


class PolicyHandle:
    """Removes a policy from the layers it was put on."""

    def __init__(self, layers: list[tuple[str, _BatchNorm]], policy: StatisticsPolicy) -> None:
        self._previous = [(layer, layer.__dict__.get(_FORWARD)) for _, layer in layers]
        for name, layer in layers:
            layer.forward = _PolicyForward(  # type: ignore[method-assign]
                policy.normalize, name, layer
            )

    def remove(self) -> None:
        """Give the layers their own ``forward`` back; a second call does nothing."""
        for layer, previous in self._previous:
            layer.__dict__.pop(_FORWARD, None)
            if previous is not None:
                layer.__dict__[_FORWARD] = previous
        self._previous = []


def apply_policy(network: nn.Module, policy: StatisticsPolicy) -> PolicyHandle:
    """Let a policy normalize in every batch-normalization layer until the handle is removed.

    Args:
        network: Any network with batch normalization.
        policy: Which statistics to use.

    Raises:
        RuntimeError: If another policy is on one of the layers.
        ValueError: If there is no such layer, or the policy needs running statistics of the
            source and a layer has none.
    """
    layers = bn_layers(network)
    if not layers:
        raise ValueError(
            f"{type(network).__name__} has no batch-normalization layer, so "
            f"{type(policy).__name__} has nothing to act on (in MONAI networks: norm='batch')."
        )
    for name, layer in layers:
        if isinstance(layer.__dict__.get(_FORWARD), _PolicyForward):
            raise RuntimeError(
                f"Layer {name!r} is under another statistics policy already; the network, or one "
                "that contains it, is bound by another adapter. Release that first."
            )
    if policy.needs_source:
        for name, layer in layers:
            if layer.running_mean is None:
                raise ValueError(
                    f"Layer {name!r} of {type(network).__name__} keeps no running statistics "
                    f"(track_running_stats=False), which {type(policy).__name__} needs."
                )
    return PolicyHandle(layers, policy)


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
    _require_variance(name, activations)
    return F.batch_norm(activations, None, None, layer.weight, layer.bias, True, 0.0, layer.eps)


def _require_variance(name: str, activations: Tensor) -> None:
    if activations.numel() < 2 * activations.shape[1]:
        raise ValueError(
            f"Layer {name!r} sees one value per channel (activations of shape "
            f"{tuple(activations.shape)}), which has no variance; use larger images."
        )
