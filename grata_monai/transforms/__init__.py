# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Image operations: views, styles, degradations, and the way from fundus files to the network."""

from __future__ import annotations

from grata_monai.imaging import draw_overlay, read_mask, read_photograph
from grata_monai.transforms.crop import CropDiscRegion, CropDiscRegiond
from grata_monai.transforms.degrade import (
    add_gaussian_noise,
    corrupt_blind_spots,
    downsample,
    gaussian_noise_like,
)
from grata_monai.transforms.fundus import fundus_preprocessing
from grata_monai.transforms.geometry import WEAK_VIEWS, View
from grata_monai.transforms.labels import (
    DecodeFundusLabel,
    DecodeFundusLabeld,
    disc_center,
    encode_fundus_label,
    label_map,
)
from grata_monai.transforms.outputs import SaveSegmentationd
from grata_monai.transforms.reading import LoadFundusd
from grata_monai.transforms.resize import ResizeFundus, ResizeFundusd
from grata_monai.transforms.style import STYLE_OPERATIONS, StrongView, StyleParameters
from grata_monai.transforms.views import RandStrongView, RandStrongViewd, WeakView, WeakViewd

__all__ = [
    "STYLE_OPERATIONS",
    "WEAK_VIEWS",
    "CropDiscRegion",
    "CropDiscRegiond",
    "DecodeFundusLabel",
    "DecodeFundusLabeld",
    "LoadFundusd",
    "RandStrongView",
    "RandStrongViewd",
    "ResizeFundus",
    "ResizeFundusd",
    "SaveSegmentationd",
    "StrongView",
    "StyleParameters",
    "View",
    "WeakView",
    "WeakViewd",
    "add_gaussian_noise",
    "corrupt_blind_spots",
    "disc_center",
    "downsample",
    "draw_overlay",
    "encode_fundus_label",
    "fundus_preprocessing",
    "gaussian_noise_like",
    "label_map",
    "read_mask",
    "read_photograph",
]
