# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DLTTA the plain way."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.batch_norm import use_batch_statistics
from grata_monai.benchmark.textbook.bottleneck import bottleneck_layer, watched
from grata_monai.benchmark.textbook.losses import entropy

MEMORY_SIZE = 20
NEIGHBOURS = 8
TEMPERATURE = 4.0


class DLTTA(Textbook):
    """TENT, whose learning rate grows with the distance from predictions of similar images.

    Args:
        network: The source network.
        beta: Learning rate where the memory is of no use.
        seed: Of no effect.

    Reference:
        H. Yang et al., "DLTTA: Dynamic Learning Rate for Test-Time Adaptation on Cross-Domain
        Medical Images", IEEE TMI 2022.
    """

    def __init__(self, network: nn.Module, *, beta: float = 1e-4, seed: int = 0) -> None:
        super().__init__(network, seed=seed)
        self.beta = beta
        self.optimizer = torch.optim.Adam(use_batch_statistics(self.network), lr=beta)
        self.layer: nn.Module | None = None
        self.memory: list[tuple[Tensor, Tensor]] = []

    def step(self, image: Tensor) -> Tensor:
        """Compare with the memory, make one step on the entropy, and remember the result."""
        if self.layer is None:
            self.layer = bottleneck_layer(self.network, image)
        with watched(self.layer) as outputs:
            logits: Tensor = self.network(image)
        key = outputs[0].detach().clone().flatten()
        for group in self.optimizer.param_groups:
            group["lr"] = self.beta * math.exp(self._discrepancy(key, logits.detach()))
        self.optimizer.zero_grad()
        entropy(logits).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        with torch.no_grad():
            adapted: Tensor = self.network(image)
        self.memory = [*self.memory, (key, adapted)][-MEMORY_SIZE:]
        return adapted

    def _discrepancy(self, key: Tensor, logits: Tensor) -> float:
        """Return how far the prediction is from those of similar images; 0 with too few."""
        memory = [(k, z) for k, z in self.memory if z.shape == logits.shape]
        if len(memory) < NEIGHBOURS:
            return 0.0
        keys = torch.stack([past for past, _ in memory])
        similarity, nearest = F.cosine_similarity(keys, key[None]).topk(NEIGHBOURS)
        weights = torch.softmax(similarity / 0.2, dim=0)
        neighbours = torch.cat([memory[index][1] for index in nearest.tolist()])
        past = (weights.view(-1, 1, 1, 1) * neighbours).sum(dim=0, keepdim=True)
        present = logits / TEMPERATURE
        difference = torch.sigmoid(past) - torch.sigmoid(present)
        return float((difference * (past - present)).mean())
