# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Consistency between a strong view and the mean prediction of the weak views."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

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
    ) -> None:
        if not views:
            raise ValueError("The 'views' parameter of Consistency must not be empty.")
        self.views = tuple(views)
        self.strong = StrongView() if strong is None else strong

    def __call__(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the cross-entropy between student and teacher."""
        student_images = self.strong(images, generator)
        return binary_cross_entropy_with_logits(
            network(student_images), self.teacher(network, images)
        )

    @torch.no_grad()
    def teacher(self, network: nn.Module, images: Tensor) -> Tensor:
        """Return the mean probabilities of the weak views, each mapped back."""
        total = torch.zeros(())
        for view in self.views:
            probabilities = torch.sigmoid(network(view.apply(images)))
            total = total.to(images.device) + view.invert(probabilities)
        return total / len(self.views)
