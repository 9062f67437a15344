# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Readers of pictures."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from grata_monai.data import fundus_datalist
from grata_monai.imaging import (
    ImageSource,
    exif_orientation,
    probe,
    read_levels,
    read_mask,
    read_photograph,
)
from grata_monai.imaging.reading import UNREADABLE
from tests.fuzz import samples
from tests.fuzz.mutations import files
from tests.fuzz.target import Target, written


def _photograph(folder: Path, data: bytes) -> None:
    path = written(folder, "x.png", data)
    exif_orientation(path)
    with contextlib.suppress(*UNREADABLE):
        probe(path)
    from_file = read_photograph(path)
    assert from_file.mode == "RGB"
    from_memory = read_photograph(ImageSource("x.png", data), follow_exif=True)
    assert sorted(from_memory.size) == sorted(from_file.size)


def _mask(folder: Path, data: bytes) -> None:
    assert read_mask(written(folder, "x.png", data)).mode == "L"


def _levels(folder: Path, data: bytes) -> None:
    assert read_levels(written(folder, "x.png", data)).dtype in (np.uint8, np.int64)


def _folder_of_images(folder: Path, data: bytes) -> None:
    fundus_datalist(written(folder, "one/x.png", data).parent)


def _dicom(folder: Path, data: bytes) -> None:
    assert read_photograph(written(folder, "x.dcm", data)).mode == "RGB"
    read_mask(ImageSource("x.dcm", data))


_pictures = files(*samples.images())
TARGETS = {
    "photograph": Target(_pictures, _photograph, names="x.png"),
    "mask": Target(_pictures, _mask, names="x.png"),
    "levels": Target(_pictures, _levels, names="x.png"),
    "image_folder": Target(_pictures, _folder_of_images, names="x.png"),
}
if samples.dicoms():
    TARGETS["dicom"] = Target(files(*samples.dicoms()), _dicom, names="x.dcm")
