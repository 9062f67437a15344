# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Unsupervised losses: callables (network, images, generator) -> scalar."""

from __future__ import annotations

from grata_monai.objectives.base import Objective, SupportsHeads
from grata_monai.objectives.blind_spot import BlindSpot
from grata_monai.objectives.consistency import Consistency
from grata_monai.objectives.denoising import Denoising
from grata_monai.objectives.entropy import Entropy
from grata_monai.objectives.generalized_entropy import GeneralizedEntropy
from grata_monai.objectives.reconstruction import Reconstruction
from grata_monai.objectives.registry import OBJECTIVES, build_objective
from grata_monai.objectives.rotation import Rotation
from grata_monai.objectives.super_resolution import SuperResolution

__all__ = [
    "OBJECTIVES",
    "BlindSpot",
    "Consistency",
    "Denoising",
    "Entropy",
    "GeneralizedEntropy",
    "Objective",
    "Reconstruction",
    "Rotation",
    "SuperResolution",
    "SupportsHeads",
    "build_objective",
]
