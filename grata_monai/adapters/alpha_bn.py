# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""AlphaBN: source statistics calibrated by a share of the current image's."""

from __future__ import annotations

from torch import Tensor

from grata_monai._checks import check_flag, check_number
from grata_monai.adapters.base import Adapter, LifeCycle
from grata_monai.state import MixedStatistics, StatisticsPolicy


class AlphaBN(Adapter):
    r"""A fixed mixture of source and current statistics in every BN layer, nothing learned.

    .. math:: \mu = \lambda \mu_s + (1 - \lambda) \mu_t, \qquad v = \lambda v_s + (1 - \lambda) v_t

    Between the two ends lie No Adapt (λ = 1) and PTBN (λ = 0); which of them suits a target
    cannot be known without labels. A share in between is a baseline that methods under current
    statistics alone should be held against; on some fundus targets 0.75 beats both ends.

    Args:
        source_share: λ in [0, 1]; 0.9, i.e. α = 1 - λ = 0.1 of the current image.
        unbiased: Use the current image's unbiased variance, as common code does that reads it
            from running buffers. Biased as in the formula; the difference is visible only in
            layers with few values per channel.
        life_cycle: Of no effect: nothing is carried from image to image.
        seed: Of no effect.

    Reference:
        F. You, J. Li, Z. Zhao, "Test-Time Batch Statistics Calibration for Covariate Shift", 2021,
        arXiv:2110.04065 (α-BN). With λ = N / (N + n) it is the method of S. Schneider et al.,
        "Improving Robustness against Common Corruptions by Covariate Shift Adaptation", NeurIPS
        2020, arXiv:2006.16971.

    Differs from the papers: the statistics only, without the loss that You et al. add to them.
    """

    def __init__(
        self,
        *,
        source_share: float = 0.9,
        unbiased: bool = False,
        life_cycle: LifeCycle = "per_dataset",
        seed: int = 0,
    ) -> None:
        super().__init__(life_cycle=life_cycle, seed=seed)
        check_number("AlphaBN", "source_share", source_share, minimum=0.0, maximum=1.0)
        check_flag("AlphaBN", "unbiased", unbiased)
        self.source_share = source_share
        self.unbiased = unbiased

    def _policy(self) -> StatisticsPolicy:
        return MixedStatistics(source_share=self.source_share, unbiased=self.unbiased)

    def _update(self, images: Tensor) -> dict[str, float]:
        return {}
