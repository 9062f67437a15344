# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Fundus photographs and masks as arrays: reading, grey levels, windows, pictures. No torch."""

from __future__ import annotations

from grata_monai.imaging.contact_sheet import draw_contact_sheet
from grata_monai.imaging.masks import (
    BACKGROUND_GREY,
    CUP_GREY,
    RIM_GREY,
    disc_center,
    encode_mask,
    label_map,
    largest_part,
    split_grey,
)
from grata_monai.imaging.overlay import draw_overlay
from grata_monai.imaging.reading import (
    ImageSource,
    exif_orientation,
    probe,
    read_levels,
    read_mask,
    read_photograph,
    turn_back,
)
from grata_monai.imaging.window import Window, overlap
from grata_monai.imaging.writing import write_png

__all__ = [
    "BACKGROUND_GREY",
    "CUP_GREY",
    "RIM_GREY",
    "ImageSource",
    "Window",
    "disc_center",
    "draw_contact_sheet",
    "draw_overlay",
    "encode_mask",
    "exif_orientation",
    "label_map",
    "largest_part",
    "overlap",
    "probe",
    "read_levels",
    "read_mask",
    "read_photograph",
    "split_grey",
    "turn_back",
    "write_png",
]
