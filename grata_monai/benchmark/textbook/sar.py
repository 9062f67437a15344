# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""SAR the plain way."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.batch_norm import use_batch_statistics
from grata_monai.benchmark.textbook.losses import binary_entropy

RHO = 0.05
RELIABLE = 0.4 * math.log(2.0)


class SAR(Textbook):
    """Descend the entropy of reliable pixels from the steepest point nearby.

    Scale and shift of the deepest encoder stage stay as they are.

    Args:
        network: The source network.
        beta: Learning rate.
        seed: Of no effect.

    Reference:
        S. Niu et al., "Towards Stable Test-Time Adaptation in Dynamic Wild World", ICLR 2023.
    """

    def __init__(self, network: nn.Module, *, beta: float = 1e-4, seed: int = 0) -> None:
        super().__init__(network, seed=seed)
        use_batch_statistics(self.network)
        for name, parameter in self.network.named_parameters():
            if name.startswith("encoder.layer4."):
                parameter.requires_grad_(False)
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(self.parameters, lr=beta, momentum=0.9)

    def step(self, image: Tensor) -> Tensor:
        """Climb, take the gradient there, and descend from where the climb began."""
        self._adapt(image)
        with torch.no_grad():
            logits: Tensor = self.network(image)
        return logits

    def _adapt(self, image: Tensor) -> None:
        entropy = binary_entropy(torch.sigmoid(self.network(image)))
        reliable = entropy < RELIABLE
        if not reliable.any():
            return
        self.optimizer.zero_grad()
        entropy[reliable].mean().backward()  # type: ignore[no-untyped-call]
        before = [parameter.detach().clone() for parameter in self.parameters]
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        with torch.no_grad():
            for parameter in self.parameters:
                if parameter.grad is not None:
                    parameter.add_(RHO / (norm + 1e-12) * parameter.grad)

        entropy = binary_entropy(torch.sigmoid(self.network(image)))
        reliable = reliable & (entropy < RELIABLE)
        self.optimizer.zero_grad()
        if reliable.any():
            entropy[reliable].mean().backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for parameter, value in zip(self.parameters, before, strict=True):
                parameter.copy_(value)
        if reliable.any():
            self.optimizer.step()
