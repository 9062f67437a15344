# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Guard the plain way."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.grata import GraTa
from grata_monai.benchmark.textbook.losses import binary_entropy

TOLERANCE = 0.05


class Guard(Textbook):
    """Let another method adapt, and take back what changes masks or entropy too much.

    Args:
        network: The source network.
        seed: Seed of the default ``method``.
        method: Makes the method from the network; GraTa if left out.
        max_change: Largest 1 - Dice of any mask before and after.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        seed: int = 0,
        method: Callable[[nn.Module], Textbook] | None = None,
        max_change: float = 0.2,
    ) -> None:
        super().__init__(network, seed=seed)
        self.method = GraTa(network, seed=seed) if method is None else method(network)
        self.network = self.method.network
        self.max_change = max_change

    def step(self, image: Tensor) -> Tensor:
        """Let the method make its step, and undo it where the prediction gets visibly worse."""
        kept = copy.deepcopy(self.method)
        with torch.no_grad():
            before: Tensor = self.method.network(image)
        after = self.method.step(image)
        if self._accepts(before, after):
            return after
        self.method, self.network = kept, kept.network
        return before

    def _accepts(self, before: Tensor, after: Tensor) -> bool:
        finite = [torch.isfinite(t).all() for t in (after, *self.network.parameters())]
        rise = total_entropy(after) - total_entropy(before)
        change = largest_change(before > 0, after > 0)
        return all(finite) and rise <= TOLERANCE and change <= self.max_change


def total_entropy(logits: Tensor) -> float:
    """Return the entropy summed over channels, averaged over pixels."""
    return float(binary_entropy(torch.sigmoid(logits)).sum(dim=1).mean())


def largest_change(before: Tensor, after: Tensor) -> float:
    """Return the largest 1 - Dice of masks 1xCxHxW; two empty ones do not differ."""
    changes = []
    for first, second in zip(before[0], after[0], strict=True):
        sizes = int(first.sum() + second.sum())
        changes.append(1 - 2 * int((first & second).sum()) / sizes if sizes else 0.0)
    return max(changes)
