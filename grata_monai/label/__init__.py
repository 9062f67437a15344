# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Annotation servers: a MONAI Label app whose model adapts to the scanner while it is used.

Only ``grata_monai.label.server`` needs MONAI Label (``pip install 'grata-monai[label]'``).
"""

from __future__ import annotations

from grata_monai.label.adapted_states import AdaptedStates
from grata_monai.label.app_folder import init_app
from grata_monai.label.fine_tuning import FineTuning, LabeledImage, fine_tune
from grata_monai.label.launch import app_versions, server_command
from grata_monai.label.request import SegmentationRequest
from grata_monai.label.results import result_params
from grata_monai.label.segmentation import SEGMENTS, Segmentation, Segmenter
from grata_monai.label.service import SegmentationService
from grata_monai.label.settings import LabelSettings
from grata_monai.label.versions import ModelVersion, ModelVersions

__all__ = [
    "SEGMENTS",
    "AdaptedStates",
    "FineTuning",
    "LabelSettings",
    "LabeledImage",
    "ModelVersion",
    "ModelVersions",
    "Segmentation",
    "SegmentationRequest",
    "SegmentationService",
    "Segmenter",
    "app_versions",
    "fine_tune",
    "init_app",
    "result_params",
    "server_command",
]
