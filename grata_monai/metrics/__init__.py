# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics beside MONAI's: the vertical cup-to-disc ratio of optic disc segmentations."""

from __future__ import annotations

from grata_monai.metrics.cup_disc_ratio import (
    VerticalCupDiscRatio,
    vertical_cup_disc_ratio,
    vertical_extent,
)
from grata_monai.metrics.ignite import VerticalCupDiscRatioHandler

__all__ = [
    "VerticalCupDiscRatio",
    "VerticalCupDiscRatioHandler",
    "vertical_cup_disc_ratio",
    "vertical_extent",
]
