# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""State of a network that adaptation changes and gives back: values, parameters, BN statistics."""

from __future__ import annotations

from grata_monai.state.adaptive_mixing import AdaptiveMixing
from grata_monai.state.bn_policies import (
    BatchStatistics,
    MedianStatistics,
    MixedStatistics,
    SourceStatistics,
    StatisticsPolicy,
)
from grata_monai.state.features import (
    ClassifierInput,
    capture,
    capture_classifier_input,
)
from grata_monai.state.moving_average import MovingAverageStatistics
from grata_monai.state.optimization import (
    AdamStepper,
    NonFiniteUpdateError,
    SgdStepper,
    Stepper,
    displaced,
    replaced,
    require_finite,
)
from grata_monai.state.parameters import bn_affine_parameters, select_parameters
from grata_monai.state.policy_handle import PolicyHandle, apply_policy, bn_layers
from grata_monai.state.snapshot import Snapshot, evaluating, hash_of_tensors
from grata_monai.state.state_file import read_state, write_state
from grata_monai.state.transaction import all_or_nothing

__all__ = [
    "AdamStepper",
    "AdaptiveMixing",
    "BatchStatistics",
    "ClassifierInput",
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
    "all_or_nothing",
    "apply_policy",
    "bn_affine_parameters",
    "bn_layers",
    "capture",
    "capture_classifier_input",
    "displaced",
    "evaluating",
    "hash_of_tensors",
    "read_state",
    "replaced",
    "require_finite",
    "select_parameters",
    "write_state",
]
