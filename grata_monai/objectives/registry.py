# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Objectives by name, as configurations and the command line spell them."""

from __future__ import annotations

from grata_monai._checks import check_choice
from grata_monai.objectives.base import Objective
from grata_monai.objectives.blind_spot import BlindSpot
from grata_monai.objectives.consistency import Consistency
from grata_monai.objectives.denoising import Denoising
from grata_monai.objectives.entropy import Entropy
from grata_monai.objectives.generalized_entropy import GeneralizedEntropy
from grata_monai.objectives.reconstruction import Reconstruction
from grata_monai.objectives.rotation import Rotation
from grata_monai.objectives.super_resolution import SuperResolution

OBJECTIVES: dict[str, type[Objective]] = {
    "blind_spot": BlindSpot,
    "consistency": Consistency,
    "denoising": Denoising,
    "entropy": Entropy,
    "generalized_entropy": GeneralizedEntropy,
    "reconstruction": Reconstruction,
    "rotation": Rotation,
    "super_resolution": SuperResolution,
}


def build_objective(
    objective: Objective | str, *, owner: str = "build_objective", parameter: str = "objective"
) -> Objective:
    """Return the objective itself, or the one of that name with its default settings.

    Args:
        objective: An objective or one of the names in ``OBJECTIVES``.
        owner: Who asks, for the error message.
        parameter: Which of the owner's parameters this is, for the error message.

    Raises:
        ValueError: For an unknown name; a close match is suggested.
    """
    if isinstance(objective, Objective):
        return objective
    check_choice(owner, parameter, objective, OBJECTIVES)
    return OBJECTIVES[objective]()
