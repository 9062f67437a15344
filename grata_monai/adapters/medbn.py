# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""MedBN: the current image's medians in place of its means."""

from __future__ import annotations

from torch import Tensor

from grata_monai._checks import check_number
from grata_monai.adapters.base import Adapter, LifeCycle
from grata_monai.state import MedianStatistics, StatisticsPolicy


class MedBN(Adapter):
    r"""Center every BN channel on the median of the current image, nothing learned.

    .. math::
        \eta = \mathrm{median}(a), \quad \rho^2 = \mathrm{mean}\,(a - \eta)^2, \quad
        \hat a = \gamma\, \frac{a - \eta}{\sqrt{\rho^2 + \epsilon}} + \beta

    No share of the source, no state. Behind a ReLU a channel that is mostly zero has the median
    zero: it is scaled, not centered.

    Args:
        stride: Take the median over every stride-th row and column only, at least 1. 1 is the
            published method; more saves time on large images, where the median costs most, and
            spares layers with fewer than 1024 values left. ρ is taken over all values.
        life_cycle: Of no effect: nothing is carried from image to image.
        seed: Of no effect.

    Reference:
        H. Park et al., "MedBN: Robust Test-Time Adaptation against Malicious Test Samples", CVPR
        2024, arXiv:2403.19326.

    Differs from the reference code: only the variant without tracked statistics; the
    subsampling is ours.
    """

    def __init__(
        self, *, stride: int = 1, life_cycle: LifeCycle = "per_dataset", seed: int = 0
    ) -> None:
        super().__init__(life_cycle=life_cycle, seed=seed)
        check_number("MedBN", "stride", stride, minimum=1, integer=True)
        self.stride = stride

    def _policy(self) -> StatisticsPolicy:
        return MedianStatistics(stride=self.stride)

    def _update(self, images: Tensor) -> dict[str, float]:
        return {}
