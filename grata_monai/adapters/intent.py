# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""InTEnt: predictions under several statistics, weighted by their entropy."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from grata_monai._checks import check_choice, check_number
from grata_monai.adapters.base import Adapter, LifeCycle
from grata_monai.functional import balanced_entropy, mean_entropy, min_max, mixture_logits
from grata_monai.functional.precision import at_least_single
from grata_monai.state import MixedStatistics, StatisticsPolicy

Weighting = Literal["balanced_entropy", "entropy", "average"]
_ENTROPIES = {"balanced_entropy": balanced_entropy, "entropy": mean_entropy}


class InTEnt(Adapter):
    r"""Predict with source, current and mixed statistics; trust the surest the most.

    For image shares r = 0, 1/5, ..., 1 of the BN statistics, with p_r the prediction and b_r its
    entropy, averaged over structure and background with equal say:

    .. math::
        w = \mathrm{softmax}_r\big(\mathrm{minmax}_r(-b_r)\big), \qquad p = \sum_r w_r\, p_r

    Each image and channel has weights of its own. The logits are those of p, finite always. With
    a sliding window each window counts as an image. Costs ``levels`` forward passes.

    Args:
        levels: Number of shares from 0 to 1, at least 2; 6, authors' code.
        weighting: ``"balanced_entropy"`` (the method), ``"entropy"`` (plain mean over pixels) or
            ``"average"`` (equal weights).
        life_cycle: Of no effect: nothing is carried from image to image.
        seed: Of no effect.

    Reference:
        H. Dong et al., "Medical Image Segmentation with InTEnt: Integrated Entropy Weighting for
        Single Image Test-Time Adaptation", CVPR Workshops 2024, arXiv:2402.09604.

    Differs from the reference code: sigmoid outputs, weighted per channel; equal weights where
    all entropies are the same; the sharpness weighting is left out.
    """

    def __init__(
        self,
        *,
        levels: int = 6,
        weighting: Weighting = "balanced_entropy",
        life_cycle: LifeCycle = "per_dataset",
        seed: int = 0,
    ) -> None:
        super().__init__(life_cycle=life_cycle, seed=seed)
        check_number("InTEnt", "levels", levels, minimum=2, integer=True)
        check_choice("InTEnt", "weighting", weighting, (*_ENTROPIES, "average"))
        self.levels = levels
        self.weighting = weighting

    def _policy(self) -> StatisticsPolicy:
        self._statistics = MixedStatistics(source_share=1.0, unbiased=True)
        return self._statistics

    def _update(self, images: Tensor) -> dict[str, float]:
        return {}

    def _predict(self, images: Tensor) -> Tensor:
        """Return the logits of the weighted mean of the levels' probabilities."""
        levels = torch.stack([self._predict_level(images, level) for level in range(self.levels)])
        exact = at_least_single(levels)
        return mixture_logits(exact, self._weights(exact)).to(levels.dtype)

    def _predict_level(self, images: Tensor, level: int) -> Tensor:
        self._statistics.source_share = 1.0 - level / (self.levels - 1)
        try:
            return super()._predict(images)
        finally:
            self._statistics.source_share = 1.0

    def _weights(self, levels: Tensor) -> Tensor:
        """Return the weights, levels x B x C x 1 for every spatial dimension."""
        if self.weighting == "average":
            scores = levels.new_zeros(levels.shape[:3])
        else:
            entropy = _ENTROPIES[self.weighting]
            scores = min_max(-torch.stack([entropy(logits) for logits in levels]))
        weights = scores.softmax(dim=0)
        return weights.view(*weights.shape, *[1] * (levels.ndim - 3))
