# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""State of a network that adaptation changes and gives back: values, parameters, BN statistics."""

from __future__ import annotations

from grata_monai.state.bn_policies import (
    BatchStatistics,
    MedianStatistics,
    MixedStatistics,
    MovingAverageStatistics,
    PolicyHandle,
    SourceStatistics,
    StatisticsPolicy,
    apply_policy,
    bn_layers,
)
from grata_monai.state.optimization import (
    AdamStepper,
    NonFiniteUpdateError,
    SgdStepper,
    Stepper,
    displaced,
    require_finite,
)
from grata_monai.state.parameters import bn_affine_parameters, select_parameters
from grata_monai.state.snapshot import Snapshot, evaluating

__all__ = [
    "AdamStepper",
    "BatchStatistics",
    "MedianStatistics",
    "MixedStatistics",
    "MovingAverageStatistics",
    "NonFiniteUpdateError",
    "PolicyHandle",
    "SgdStepper",
    "Snapshot",
    "SourceStatistics",
    "StatisticsPolicy",
    "Stepper",
    "apply_policy",
    "bn_affine_parameters",
    "bn_layers",
    "displaced",
    "evaluating",
    "require_finite",
    "select_parameters",
]
