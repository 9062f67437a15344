# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Put a statistics policy on a network's layers, and take it off without a trace.

A policy takes the place of the layers' ``forward``; module classes, parameters and the source's
running buffers stay as they are, so that checkpoints still load strictly. (Setting the buffers to
None, as is common, does neither.)
"""

from __future__ import annotations

from functools import partial
from types import MethodType
from typing import cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai.state.bn_policies import StatisticsPolicy

_FORWARD = "forward"


def bn_layers(network: nn.Module) -> list[tuple[str, _BatchNorm]]:
    """Return all batch-normalization layers (1D, 2D, 3D, synchronized) with their names."""
    return [(n, m) for n, m in network.named_modules() if isinstance(m, _BatchNorm)]


class _PolicyForward(partial[Tensor]):
    """A layer's ``forward`` under a policy."""

    @property
    def policy(self) -> StatisticsPolicy:
        """The policy, which can be asked to read parts of a batch as batches of their own."""
        return cast("StatisticsPolicy", cast("MethodType", self.func).__self__)


class PolicyHandle:
    """Removes a policy from the layers it was put on."""

    def __init__(self, layers: list[tuple[str, _BatchNorm]], policy: StatisticsPolicy) -> None:
        self._previous = [(layer, layer.__dict__.get(_FORWARD)) for _, layer in layers]
        for name, layer in layers:
            layer.forward = _PolicyForward(  # type: ignore[method-assign]
                policy.forward, name, layer
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
