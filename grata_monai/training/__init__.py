# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Training of source models: loss, augmentation, auxiliary heads, checkpoints."""

from __future__ import annotations

from grata_monai.training.augmentation import source_augmentation
from grata_monai.training.checkpoints import (
    TrainingCheckpoint,
    resume_training,
    save_source_weights,
)
from grata_monai.training.epoch_seed import EpochSeed
from grata_monai.training.joint_iteration import JointIteration
from grata_monai.training.losses import SegmentationLoss
from grata_monai.training.progress import LossProgressBar

__all__ = [
    "EpochSeed",
    "JointIteration",
    "LossProgressBar",
    "SegmentationLoss",
    "TrainingCheckpoint",
    "resume_training",
    "save_source_weights",
    "source_augmentation",
]
