# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""MEMO: make the mean prediction of many views certain."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grata_monai._checks import check_number
from grata_monai.adapters.base import LifeCycle, Predict
from grata_monai.adapters.gradient import GradientAdapter
from grata_monai.functional.gradients import compute_gradients, gradient_norm
from grata_monai.functional.marginal import bernoulli_entropy
from grata_monai.functional.precision import at_least_single
from grata_monai.state import (
    MixedStatistics,
    StatisticsPolicy,
    require_finite,
    select_parameters,
)
from grata_monai.transforms.random_view import DrawnView, RandomView


class MEMO(GradientAdapter):
    r"""One step of all parameters on the entropy of the marginal prediction over K random views.

    Views are flips, rotations and changes of style, put back before the mean, which is taken for
    every pixel and channel:

    .. math::
        \bar p = \frac{1}{K} \sum_k \mathcal{T}_k^{-1} \sigma(z_\theta(\mathcal{T}_k x)), \qquad
        \theta \leftarrow \theta - \beta\, \nabla_\theta\, \mathrm{mean}\, H(\bar p)

    with H the full entropy of a Bernoulli variable. BN mixes n parts source and one part current
    statistics, n/(n+1) and 1/(n+1).

    All views in one graph would need K times the memory. Instead a first pass without gradient
    gives :math:`\bar p` and :math:`\partial L / \partial \bar p`; a second pass applies it to one
    view at a time and adds up the gradients. Their sum is the gradient of the whole.

    Args:
        beta: Learning rate of plain gradient descent, >= 0; 2.5e-4 (authors' ImageNet setting).
        views: K >= 1; 32 (authors' CIFAR setting; 64 on ImageNet). Costs 2 K + 1 passes forward
            and K backward.
        prior_strength: n >= 0; 16 (authors' code).
        life_cycle: When to go back to the source (see ``Adapter``); ``"per_image"`` as in the
            paper, which adapts to each image alone.
        predict: Take the logits ``"after_update"`` (the paper) or ``"before_update"``.
        seed: Seed of the views.

    Raises:
        ValueError: If an argument is out of range.

    Reference:
        M. Zhang, S. Levine, C. Finn, "MEMO: Test Time Robustness via Adaptation and
        Augmentation", NeurIPS 2022, arXiv:2110.09506.

    Differs from the reference code: segmentation, so that the marginal is one of each pixel and
    its views can be inverted exactly (there AugMix); sigmoids; gradients summed view by view.
    """

    def __init__(
        self,
        *,
        beta: float = 2.5e-4,
        views: int = 32,
        prior_strength: float = 16.0,
        life_cycle: LifeCycle = "per_image",
        predict: Predict = "after_update",
        seed: int = 0,
    ) -> None:
        super().__init__(beta=beta, life_cycle=life_cycle, predict=predict, seed=seed)
        check_number("MEMO", "views", views, minimum=1, integer=True)
        check_number("MEMO", "prior_strength", prior_strength, minimum=0.0)
        self.views = views
        self.prior_strength = prior_strength

    def _policy(self) -> StatisticsPolicy:
        return MixedStatistics(source_share=self.prior_strength / (self.prior_strength + 1.0))

    def _parameters(self, network: nn.Module) -> dict[str, nn.Parameter]:
        return select_parameters(network, "all")

    def _update(self, images: Tensor) -> dict[str, float]:
        views = [RandomView().draw(images, self._generator) for _ in range(self.views)]
        marginal = self._marginal(images, views).requires_grad_()
        loss = bernoulli_entropy(marginal).mean()
        require_finite("marginal entropy", [loss.detach()])
        (direction,) = torch.autograd.grad(loss, marginal)
        gradients = self._pull_back(images, views, direction)
        self._stepper.step(gradients, self.beta)
        return {
            "loss": float(loss.detach()),
            "gradient_norm": gradient_norm(gradients),
            "learning_rate": self.beta,
        }

    def _probabilities(self, images: Tensor, view: DrawnView) -> Tensor:
        logits = at_least_single(self._bound().network(view.apply(images)))
        return view.invert(torch.sigmoid(logits))

    @torch.no_grad()
    def _marginal(self, images: Tensor, views: list[DrawnView]) -> Tensor:
        """Return the mean probabilities over the views."""
        total = torch.zeros((), device=images.device)
        for view in views:
            total = total + self._probabilities(images, view)
        return total / len(views)

    def _pull_back(self, images: Tensor, views: list[DrawnView], direction: Tensor) -> list[Tensor]:
        """Return the gradient of ``sum(direction * marginal)``, one view in memory at a time."""
        parameters = list(self._bound().parameters.values())
        total = [torch.zeros_like(parameter) for parameter in parameters]
        for view in views:
            share = (direction * self._probabilities(images, view)).sum() / len(views)
            for sums, gradient in zip(total, compute_gradients(share, parameters), strict=True):
                sums.add_(gradient)
        return total
