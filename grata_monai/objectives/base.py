# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What an objective is: a loss that needs no labels and knows neither its role nor an optimizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class SupportsHeads(Protocol):
    """A network with self-supervised heads beside its segmentation output."""

    def head(self, name: str, images: Tensor) -> Tensor:
        """Return the raw output of a head."""


class Objective(ABC):
    """Unsupervised loss of a network on images.

    It calls the network as often as it needs, draws random numbers from the given generator
    only, leaves the images as they are and returns a scalar with a graph.
    """

    required_head: str | None = None
    """Name of the head that the network must have, if any."""

    @abstractmethod
    def __call__(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the loss.

        Args:
            network: Network with logits BxKx*spatial.
            images: BxCx*spatial in [0, 1].
            generator: CPU generator for all random draws.
        """

    def check(self, network: nn.Module) -> None:
        """Check that the network offers what the objective needs.

        Raises:
            ValueError: If it lacks the required head.
        """
        if self.required_head is None:
            return
        heads = getattr(network, "heads", {})
        if not isinstance(network, SupportsHeads) or self.required_head not in heads:
            raise ValueError(
                f"{type(self).__name__} needs a network with a {self.required_head!r} head, which "
                f"{type(network).__name__} has not; train the source with that head "
                "(heads=[...] in the training config) and load it with WithHeads."
            )

    def run_head(self, network: nn.Module, images: Tensor) -> Tensor:
        """Return the raw output of the required head."""
        return cast("SupportsHeads", network).head(cast("str", self.required_head), images)

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({settings})"
