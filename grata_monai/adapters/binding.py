# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What ties an adapter to a network, and the checks before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from grata_monai.state import (
    PolicyHandle,
    Snapshot,
    StatisticsPolicy,
    apply_policy,
    hash_of_tensors,
    replaced,
)

_bound_networks: WeakSet[nn.Module] = WeakSet()


class Binding:
    """A network in an adapter's hand: source snapshot, statistics policy, adapted parameters.

    Args:
        network: The network, whose present state is the source.
        policy: Statistics for its batch normalization, or None.
        parameters: The parameters that will be adapted, by name.

    Raises:
        RuntimeError: If the network is bound already.
        ValueError: If the policy does not fit the network.
    """

    def __init__(
        self,
        network: nn.Module,
        policy: StatisticsPolicy | None,
        parameters: dict[str, nn.Parameter],
    ) -> None:
        if network in _bound_networks:
            raise RuntimeError(
                f"This {type(network).__name__} is bound by another adapter; adapting it twice "
                "would mix their states. Release the other one first."
            )
        self.network = network
        self.policy = policy
        self.parameters = parameters
        self.snapshot = Snapshot(network)
        self.handle: PolicyHandle | None = apply_policy(network, policy) if policy else None
        self._fingerprint: str | None = None
        _bound_networks.add(network)

    @property
    def fingerprint(self) -> str:
        """Hash of the source's parameters and buffers."""
        if self._fingerprint is None:
            self._fingerprint = hash_of_tensors(self.snapshot.values)
        return self._fingerprint

    def activate(self) -> None:
        """Let gradients flow to the adapted parameters and to nothing else."""
        adapted = {id(parameter) for parameter in self.parameters.values()}
        for parameter in self.network.parameters():
            parameter.requires_grad_(id(parameter) in adapted)
            parameter.grad = None

    def learned(self) -> dict[str, Any]:
        """Return a copy of what the method has made of parameters and statistics."""
        return {
            "parameters": {n: p.detach().clone() for n, p in self.parameters.items()},
            "policy": self.policy.state_dict() if self.policy else {},
        }

    def take_over(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``learned`` returned; the caller turns gradients off.

        Raises:
            KeyError: If something is missing.
            ValueError: If a parameter has another shape.
        """
        for name, parameter in self.parameters.items():
            value = state["parameters"][name]
            if value.shape != parameter.shape:
                raise ValueError(f"{name} has the shape {tuple(value.shape)}")
            parameter.copy_(value)
        if self.policy:
            self.policy.load_state_dict(state["policy"])

    @contextmanager
    def as_source(self, policy: StatisticsPolicy | None = None) -> Iterator[None]:
        """Run a block with the source's parameters under other statistics, then all is as before.

        Args:
            policy: Takes the place of the binding's own; None leaves the layers their own.

        Raises:
            ValueError: If the policy does not fit the network.
        """
        parameters = list(self.parameters.values())
        source = [self.snapshot.values[name].to(p) for name, p in self.parameters.items()]
        if self.handle is not None:
            self.handle.remove()
        other: PolicyHandle | None = None
        try:
            other = None if policy is None else apply_policy(self.network, policy)
            with replaced(parameters, source):
                yield
        finally:
            if other is not None:
                other.remove()
            if self.policy is not None:
                self.handle = apply_policy(self.network, self.policy)

    def undo(self) -> None:
        """Leave the network as it was found."""
        _bound_networks.discard(self.network)
        if self.handle is not None:
            self.handle.remove()
        self.snapshot.restore()


def check_network(network: object) -> None:
    """Check that a network can be adapted.

    Raises:
        TypeError: If it is no module, a TorchScript module or a data-parallel wrapper.
    """
    if isinstance(network, torch.jit.ScriptModule):
        raise TypeError(
            "A TorchScript module cannot be adapted: its layers are frozen. Load the network's "
            "weights (model.pt) into its Python class instead of model.ts."
        )
    if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise TypeError(
            f"{type(network).__name__} would mix the adaptation of several replicas; pass "
            "network.module, one replica per process."
        )
    if not isinstance(network, nn.Module):
        raise TypeError(f"The network must be a torch.nn.Module; got {type(network).__name__}.")


def check_images(images: object) -> None:
    """Check type and shape of images.

    Raises:
        TypeError: If they are no floating-point tensor.
        ValueError: If they are not BxCx*spatial, or empty.
    """
    if not isinstance(images, Tensor) or not images.is_floating_point():
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"Images must be a floating-point tensor BxCx*spatial; got {kind}.")
    if images.ndim < 3 or images.numel() == 0:
        raise ValueError(
            f"Images must be BxCx*spatial and not empty; got shape {tuple(images.shape)}."
        )
