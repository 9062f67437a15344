# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What a textbook method is: a copy of the network, and one step for one image."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from grata_monai.benchmark.textbook.network import plain_copy


class Textbook(ABC):
    """A method written the plain way, one pass after the other: slow, short, independent.

    The baseline that speed is measured against and the oracle that numbers are compared with. It
    shares no code with the package's adapters, keeps a copy of the network for itself and never
    goes back to the source.

    Args:
        network: The source network, which stays as it is.
        seed: Seed of the method's random draws, if it has any.
    """

    def __init__(self, network: nn.Module, *, seed: int = 0) -> None:
        self.network = plain_copy(network).eval().requires_grad_(False)
        self.seed = seed

    @abstractmethod
    def step(self, image: Tensor) -> Tensor:
        """Adapt to an image and return its logits, detached.

        Args:
            image: 1xCxHxW in [0, 1]; left as it is.
        """
