# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DUA: running statistics that follow augmented copies of each image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.batch_norm import batch_norms
from grata_monai.benchmark.textbook.views import CropsAndTurns


class DUA(Textbook):
    """One training-mode pass of a batch of views, with a momentum that decays over images.

    Args:
        network: The source network, which stays as it is.
        views: Copies in the batch.
        draw_batch: Image -> batch of views; default: ``CropsAndTurns(views, seed)``.
        seed: Seed of the views.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        views: int = 8,
        draw_batch: Callable[[Tensor], Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(network, seed=seed)
        self.draw_batch = CropsAndTurns(views, seed) if draw_batch is None else draw_batch
        self.decayed = 0.1

    @torch.no_grad()
    def step(self, image: Tensor) -> Tensor:
        """See base class."""
        self.decayed *= 0.94
        for layer in batch_norms(self.network):
            layer.train()
            layer.momentum = self.decayed + 0.005
        self.network(self.draw_batch(image))
        self.network.eval()
        logits: Tensor = self.network(image)
        return logits
