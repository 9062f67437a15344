# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""MEMO: make the mean prediction of many views certain."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.losses import binary_entropy
from grata_monai.benchmark.textbook.statistics import MixedBatchNorm, replace_batch_norms
from grata_monai.benchmark.textbook.views import DrawView, RandomView


class MEMO(Textbook):
    """One step of all parameters on the marginal entropy; every image starts at the source.

    All views are in one graph, so that memory grows with their number.

    Args:
        network: The source network, which stays as it is.
        beta: Learning rate.
        views: Number of views.
        draw_view: Image -> a view and its inverse; default: ``RandomView(seed)``.
        seed: Seed of the views.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        beta: float = 2.5e-4,
        views: int = 32,
        draw_view: DrawView | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(network, seed=seed)
        self.views = views
        self.draw_view = RandomView(seed) if draw_view is None else draw_view
        replace_batch_norms(self.network, lambda layer: MixedBatchNorm(layer, 16 / 17))
        self.network.requires_grad_(True)
        self.source = copy.deepcopy(self.network.state_dict())
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=beta)

    def step(self, image: Tensor) -> Tensor:
        """See base class."""
        self.network.load_state_dict(self.source)
        total = torch.zeros((), device=image.device)
        for _ in range(self.views):
            view, put_back = self.draw_view(image)
            total = total + put_back(torch.sigmoid(self.network(view)))
        self.optimizer.zero_grad()
        binary_entropy(total / self.views).mean().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        with torch.no_grad():
            logits: Tensor = self.network(image)
        return logits
