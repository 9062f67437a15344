# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Entropy of the prediction on the clean image."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from grata_monai._checks import check_choice
from grata_monai.functional.entropy import binary_entropy, one_sided_entropy
from grata_monai.objectives.base import Objective

_ENTROPIES = {"one_sided": one_sided_entropy, "binary": binary_entropy}


class Entropy(Objective):
    r"""Entropy, summed over output channels, averaged over images and pixels (paper Eq. 1).

    .. math:: L_{ent} = \frac{1}{N H W} \sum_{n,h,w} \sum_c H(z_{n,c,h,w})

    The sum over channels matters in GraTa: the loss's scale sets the length of the auxiliary step.

    Args:
        kind: ``"one_sided"`` is :math:`-p \ln(p + 10^{-6})`, which the paper's results use (its
            Eq. 1 names no ``(1-p)`` term); ``"binary"`` is the full Bernoulli entropy.

    Example:
        >>> zeros = nn.Conv2d(1, 2, 1).requires_grad_(False)
        >>> _ = zeros.weight.zero_(), zeros.bias.zero_()
        >>> Entropy(kind="binary")(zeros, torch.rand(1, 1, 4, 4), torch.Generator())
        tensor(1.3863)

    Reference:
        Z. Chen et al., "Gradient Alignment Improves Test-Time Adaptation for Medical Image
        Segmentation", AAAI 2025; D. Wang et al., "Tent", ICLR 2021.
    """

    def __init__(self, *, kind: Literal["one_sided", "binary"] = "one_sided") -> None:
        check_choice("Entropy", "kind", kind, _ENTROPIES)
        self.kind = kind

    def __call__(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the entropy; no random numbers are drawn."""
        return _ENTROPIES[self.kind](network(images)).sum(dim=1).mean()
