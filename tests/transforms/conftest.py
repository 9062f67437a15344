# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Drawn photographs and masks."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image


def disc_mask(height, width, row, column, radius, cup_radius):
    """Grey mask of two concentric discs."""
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - row, columns - column)
    mask = np.full((height, width), 255, np.uint8)
    mask[distance <= radius] = 128
    mask[distance <= cup_radius] = 0
    return mask


@pytest.fixture
def fundus_files(tmp_path):
    """Folder with a photograph of 60 x 90 pixels and its mask; disc at row 25, column 40."""
    mask = disc_mask(60, 90, 25, 40, 12, 5)
    noise = np.random.RandomState(0).randint(0, 60, (60, 90, 3))
    photograph = noise + (mask < 255)[..., None] * 100 + (mask == 0)[..., None] * 90
    Image.fromarray(photograph.astype(np.uint8)).save(tmp_path / "eye.png")
    Image.fromarray(mask).save(tmp_path / "eye_mask.png")
    return tmp_path
