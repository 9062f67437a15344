# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""MEMO: make the mean prediction of many views certain."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from grata_monai._checks import check_number
from grata_monai.adapters.base import LifeCycle, Predict
from grata_monai.adapters.gradient import GradientAdapter
from grata_monai.execution import free_memory
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

_SHARE = 0.5
"""Of the free memory that may go into graphs."""


class MEMO(GradientAdapter):
    r"""One step of all parameters on the entropy of the marginal prediction over K random views.

    Views are flips, rotations and changes of style, put back before the mean, which is taken for
    every pixel and channel:

    .. math::
        \bar p = \frac{1}{K} \sum_k \mathcal{T}_k^{-1} \sigma(z_\theta(\mathcal{T}_k x)), \qquad
        \theta \leftarrow \theta - \beta\, \nabla_\theta\, \mathrm{mean}\, H(\bar p)

    with H the full entropy of a Bernoulli variable. BN mixes n parts source and one part current
    statistics, n/(n+1) and 1/(n+1).

    All views in one graph would need K times the memory of one, 6.6 GB at 256 px. A first pass
    gives :math:`\bar p` and :math:`\partial L / \partial \bar p`, and keeps as many graphs as
    there is room for. Then the gradients are added up, one view at a time; views without a graph
    run once more. Their sum is the gradient of the whole, the same bits in any case.

    Args:
        beta: Learning rate of plain gradient descent, >= 0; 2.5e-4 (authors' ImageNet setting).
        views: K >= 1; 32 (authors' CIFAR setting; 64 on ImageNet). Costs K + 1 passes forward
            and K backward, and another forward for each view without a graph.
        graphs: How many graphs to keep, >= 0: 0 for least memory, K for least time. None: what
            fits into half of the memory that is free.
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
        graphs: int | None = None,
        prior_strength: float = 16.0,
        life_cycle: LifeCycle = "per_image",
        predict: Predict = "after_update",
        seed: int = 0,
    ) -> None:
        super().__init__(beta=beta, life_cycle=life_cycle, predict=predict, seed=seed)
        check_number("MEMO", "views", views, minimum=1, integer=True)
        check_number("MEMO", "prior_strength", prior_strength, minimum=0.0)
        if graphs is not None:
            check_number("MEMO", "graphs", graphs, minimum=0, integer=True)
        self.views = views
        self.graphs = graphs
        self._fitting: dict[torch.Size, int] = {}
        self.prior_strength = prior_strength

    def _check(self, network: nn.Module) -> None:
        self._fitting = {}  # another network's graphs have another size

    def _policy(self) -> StatisticsPolicy:
        return MixedStatistics(source_share=self.prior_strength / (self.prior_strength + 1.0))

    def _parameters(self, network: nn.Module) -> dict[str, nn.Parameter]:
        return select_parameters(network, "all")

    def _update(self, images: Tensor) -> dict[str, float]:
        views = [RandomView().draw(images, self._generator) for _ in range(self.views)]
        shown = self._shown(images, views)
        marginal = torch.zeros((), device=images.device)
        for probabilities in shown:
            marginal = marginal + probabilities.detach()
        marginal = (marginal / len(views)).requires_grad_()
        loss = bernoulli_entropy(marginal).mean()
        require_finite("marginal entropy", [loss.detach()])
        (direction,) = torch.autograd.grad(loss, marginal)
        gradients = self._pull_back(images, views, shown, direction / len(views))
        self._stepper.step(gradients, self.beta)
        return {
            "loss": float(loss.detach()),
            "gradient_norm": gradient_norm(gradients),
            "learning_rate": self.beta,
        }

    def _probabilities(self, images: Tensor, view: DrawnView) -> Tensor:
        logits = at_least_single(self._bound().network(view.apply(images)))
        return view.invert(torch.sigmoid(logits))

    def _shown(self, images: Tensor, views: list[DrawnView]) -> list[Tensor]:
        """Return the probabilities of each view, those of the first ones with their graphs."""
        fitting = self._fitting.get(images.shape) if self.graphs is None else self.graphs
        if fitting is not None:
            first: list[Tensor] = []
        else:
            size = _Size(self._bound().network)
            with size:
                first = [self._probabilities(images, views[0])]
            # Once for all images of a shape: what they have freed may still count as taken.
            room = _SHARE * free_memory(images.device)
            fitting = self._fitting[images.shape] = int(room / max(1, size.bytes))
        shown = first
        for index in range(len(first), len(views)):
            with torch.set_grad_enabled(index < fitting):
                shown.append(self._probabilities(images, views[index]))
        return shown

    def _pull_back(
        self, images: Tensor, views: list[DrawnView], shown: list[Tensor], direction: Tensor
    ) -> list[Tensor]:
        """Return the gradient of the probabilities' sum in a direction, view by view.

        Always in the same order, so that it does not matter which graphs were kept.
        """
        parameters = list(self._bound().parameters.values())
        total = [torch.zeros_like(parameter) for parameter in parameters]
        for index, view in enumerate(views):
            probabilities = shown[index]
            if not probabilities.requires_grad:
                probabilities = self._probabilities(images, view)
            share = (direction * probabilities).sum()
            for sums, gradient in zip(total, compute_gradients(share, parameters), strict=True):
                sums.add_(gradient)
            shown[index] = probabilities.detach()  # lets go of the graph
        return total


class _Size(saved_tensors_hooks):
    """Counts the bytes that a graph keeps beside a network's parameters, each memory once."""

    def __init__(self, network: nn.Module) -> None:
        self.bytes = 0
        self._seen = {value.data_ptr() for value in network.state_dict().values()}
        super().__init__(self._count, lambda tensor: tensor)

    def _count(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor
