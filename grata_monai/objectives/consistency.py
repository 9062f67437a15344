# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Consistency between a strong view and the mean prediction of the weak views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from grata_monai._checks import check_number
from grata_monai.functional.precision import at_least_single
from grata_monai.networks.separate_samples import can_separate_samples, separate_samples
from grata_monai.objectives.base import Objective
from grata_monai.transforms.geometry import WEAK_VIEWS, View
from grata_monai.transforms.style import StrongView


class Consistency(Objective):
    r"""Cross-entropy of the strong view's prediction with the weak views' mean (paper Eq. 2-3).

    .. math:: L_{con} = \mathrm{mean}_{n,c,h,w}\, \mathrm{BCE}\Big(z(\tilde x),\;
        \tfrac{1}{6} \sum_j \mathcal{T}_j^{-1} \sigma(z(\mathcal{T}_j x))\Big)

    The teacher (weak views) has no gradient and averages probabilities, not logits.

    Args:
        views: Weak views with exact inverses; default: identity, two flips, three rotations.
        strong: Callable (images, generator) -> images; default: ``StrongView()``, the
            probabilities of the authors' code (their text applies all five every time).
        views_at_once: How many weak views of one shape make one batch, at least 1; None: one on
            the CPU, where batches gain nothing, all elsewhere. Each view keeps statistics of its
            own, so the loss is the same; memory of the teacher grows with it. Of no effect where
            the network's normalization cannot keep them apart.

    Differs from the reference code: the images are never changed in place (there, the next loss,
    and on CPU the final prediction, saw the augmented image).

    Reference:
        Z. Chen et al., "Gradient Alignment Improves Test-Time Adaptation for Medical Image
        Segmentation", AAAI 2025.
    """

    def __init__(
        self,
        *,
        views: Sequence[View] = WEAK_VIEWS,
        strong: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        views_at_once: int | None = None,
    ) -> None:
        if not views:
            raise ValueError("The 'views' parameter of Consistency must not be empty.")
        if views_at_once is not None:
            check_number("Consistency", "views_at_once", views_at_once, minimum=1, integer=True)
        self.views = tuple(views)
        self.strong = StrongView() if strong is None else strong
        self.views_at_once = views_at_once

    def __call__(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the cross-entropy between student and teacher."""
        teacher = self.teacher(network, images)
        student = network(self.strong(images, generator))
        return binary_cross_entropy_with_logits(at_least_single(student), teacher)

    @torch.no_grad()
    def teacher(self, network: nn.Module, images: Tensor) -> Tensor:
        """Return the mean probabilities of the weak views, each mapped back."""
        # Copies: the identity is the very tensor, and networks may change their input in place.
        views = [
            view.apply(images).clone(memory_format=torch.contiguous_format) for view in self.views
        ]
        probabilities: dict[int, Tensor] = {}
        for indices in self._batches(network, views):
            logits = at_least_single(_run(network, [views[index] for index in indices]))
            parts = torch.split(torch.sigmoid(logits), len(images))
            probabilities.update(zip(indices, parts, strict=True))
        total = torch.zeros((), device=images.device)
        for index, view in enumerate(self.views):
            total = total + view.invert(probabilities[index])
        return total / len(self.views)

    def _batches(self, network: nn.Module, views: list[Tensor]) -> list[list[int]]:
        """Return which views run together: those of one shape, no more than allowed."""
        most = self.views_at_once
        if most is None:
            most = 1 if views[0].device.type == "cpu" else len(views)
        if most == 1 or not can_separate_samples(network):
            return [[index] for index in range(len(views))]
        alike: dict[torch.Size, list[int]] = {}
        for index, view in enumerate(views):
            alike.setdefault(view.shape, []).append(index)
        return [same[i : i + most] for same in alike.values() for i in range(0, len(same), most)]


def _run(network: nn.Module, views: list[Tensor]) -> Tensor:
    """Return the logits of views, each of which is a batch of its own, one after the other."""
    if len(views) == 1:
        return cast("Tensor", network(views[0]))
    with separate_samples(network, len(views[0])):
        return cast("Tensor", network(torch.cat(views)))
