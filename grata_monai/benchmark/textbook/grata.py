# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""GraTa: a step whose length depends on how well two gradients agree."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.batch_norm import use_batch_statistics
from grata_monai.benchmark.textbook.losses import entropy
from grata_monai.benchmark.textbook.strong_view import StrongView
from grata_monai.benchmark.textbook.views import weak_views


class GraTa(Textbook):
    """Entropy as auxiliary, consistency as pseudo objective: nine passes forward, two backward.

    Args:
        network: The source network, which stays as it is.
        beta: Largest learning rate.
        strong_view: Image -> its strong view; default: ``StrongView(seed)``.
        seed: Seed of the strong view.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        beta: float = 1e-4,
        strong_view: Callable[[Tensor], Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(network, seed=seed)
        self.beta = beta
        self.strong_view = StrongView(seed) if strong_view is None else strong_view
        self.parameters = use_batch_statistics(self.network)
        self.optimizer = torch.optim.Adam(self.parameters, lr=beta)

    def step(self, image: Tensor) -> Tensor:
        """See base class."""
        saved = [parameter.detach().clone() for parameter in self.parameters]
        auxiliary = self._gradient(entropy(self.network(image)))
        with torch.no_grad():
            for parameter, gradient in zip(self.parameters, auxiliary, strict=True):
                parameter.sub_(gradient)
        pseudo = self._gradient(self._consistency(image))
        with torch.no_grad():
            for parameter, value in zip(self.parameters, saved, strict=True):
                parameter.copy_(value)

        a = torch.cat([gradient.flatten() for gradient in auxiliary])
        p = torch.cat([gradient.flatten() for gradient in pseudo])
        cosine = (a @ p) / (a.norm() * p.norm() + 1e-12)
        for group in self.optimizer.param_groups:
            group["lr"] = self.beta * 0.25 * (cosine.item() + 1) ** 2
        self.optimizer.step()  # with the pseudo gradient, which is what .grad holds
        with torch.no_grad():
            logits: Tensor = self.network(image)
        return logits

    def _consistency(self, image: Tensor) -> Tensor:
        """Return the strong view's cross-entropy with the weak views' mean prediction."""
        with torch.no_grad():
            predictions = [
                put_back(torch.sigmoid(self.network(view))) for view, put_back in weak_views(image)
            ]
            teacher = torch.stack(predictions).mean(dim=0)
        return binary_cross_entropy_with_logits(self.network(self.strong_view(image)), teacher)

    def _gradient(self, loss: Tensor) -> list[Tensor]:
        """Return the gradient of a loss for scale and shift, and leave it in ``.grad``."""
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        # A layer that the loss does not reach has the gradient 0.
        return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in self.parameters]
