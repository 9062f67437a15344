# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""TENT: one Adam step on the entropy of the prediction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.batch_norm import use_batch_statistics
from grata_monai.benchmark.textbook.losses import entropy


class Tent(Textbook):
    """Minimize the entropy by scale and shift of all BN layers; predict after the update.

    Args:
        network: The source network, which stays as it is.
        beta: Learning rate.
        seed: Of no effect.
    """

    def __init__(self, network: nn.Module, *, beta: float = 1e-4, seed: int = 0) -> None:
        super().__init__(network, seed=seed)
        self.optimizer = torch.optim.Adam(use_batch_statistics(self.network), lr=beta)

    def step(self, image: Tensor) -> Tensor:
        """See base class."""
        self.optimizer.zero_grad()
        entropy(self.network(image)).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        with torch.no_grad():
            logits: Tensor = self.network(image)
        return logits
