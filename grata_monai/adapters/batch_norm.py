# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""PTBN: the current image's own statistics, nothing learned."""

from __future__ import annotations

from torch import Tensor

from grata_monai.adapters.base import Adapter, LifeCycle
from grata_monai.state import BatchStatistics, StatisticsPolicy


class BatchNormAdapt(Adapter):
    """Prediction-time batch normalization: test-time statistics only ("PTBN", "norm").

    Every gradient method here also normalizes so; what it gains over this row is its own.

    Args:
        life_cycle: Of no effect: nothing is carried from image to image.
        seed: Of no effect.

    Reference:
        Z. Nado et al., "Evaluating Prediction-Time Batch Normalization for Robustness under
        Covariate Shift", 2020, arXiv:2006.10963.
    """

    def __init__(self, *, life_cycle: LifeCycle = "per_dataset", seed: int = 0) -> None:
        super().__init__(life_cycle=life_cycle, seed=seed)

    def _policy(self) -> StatisticsPolicy:
        return BatchStatistics()

    def _update(self, images: Tensor) -> dict[str, float]:
        return {}
