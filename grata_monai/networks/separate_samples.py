# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Run several images, or several views of one, as one batch without mixing their statistics.

Who wants it (an objective) and who must obey (a policy of batch statistics) meet here only. What
was asked for is kept by the policy, not in a global: networks of other threads are left alone, and
compiled networks notice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai._checks import check_number


class SampleGrouping(Protocol):
    """What decides how batch-normalization layers read a batch."""

    separates_samples: bool
    """Whether it can treat parts of a batch as batches of their own."""
    group_size: int | None
    """How many consecutive samples are a batch of their own; None: all."""


@runtime_checkable
class GroupedForward(Protocol):
    """The ``forward`` of a layer whose way to read a batch is decided by another object."""

    @property
    def policy(self) -> SampleGrouping:
        """Who decides."""


def can_separate_samples(network: nn.Module) -> bool:
    """Whether no batch-normalization layer would mix the samples of a batch if asked not to.

    A network without such layers is not trusted: it may hide another one.
    """
    layers = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    return bool(layers) and all(map(_separates, layers))


@contextmanager
def separate_samples(network: nn.Module, size: int = 1) -> Iterator[None]:
    """Let each ``size`` consecutive samples be a batch of their own in a block.

    For passes without gradient, or whose gradient is taken inside the block: with checkpointing
    the layers run again then.

    Args:
        network: The network, whose layers' policies are told.
        size: Samples that belong together, at least 1; it must divide the batches of the block.

    Raises:
        ValueError: If a layer would mix samples all the same.
    """
    check_number("separate_samples", "size", size, minimum=1, integer=True)
    if not can_separate_samples(network):
        raise ValueError(
            f"{type(network).__name__} cannot keep the samples of a batch apart: it has no batch "
            "normalization, or a layer's statistics are of the whole batch. Run them one by one."
        )
    policies = _policies(network)
    before = [policy.group_size for policy in policies]
    try:
        for policy in policies:
            policy.group_size = size
        yield
    finally:
        for policy, value in zip(policies, before, strict=True):
            policy.group_size = value


def current_group_size(network: nn.Module) -> int | None:
    """Return what ``separate_samples`` asked for in the block around, or None."""
    return next((policy.group_size for policy in _policies(network)), None)


def _separates(layer: _BatchNorm) -> bool:
    forward = layer.__dict__.get("forward")
    if isinstance(forward, GroupedForward):
        return forward.policy.separates_samples
    return forward is None and not layer.training and layer.running_mean is not None


def _policies(network: nn.Module) -> list[SampleGrouping]:
    """Return those who decide for the network's layers, each once."""
    forwards = [module.__dict__.get("forward") for module in network.modules()]
    found = {id(f.policy): f.policy for f in forwards if isinstance(f, GroupedForward)}
    return list(found.values())
