# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Small raw data sets, drawn by hand: what they must give is known without the painter."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from grata_monai.preparation import official_stems

HEIGHT, WIDTH = 96, 120


def photograph(number, height=HEIGHT, width=WIDTH):
    generator = np.random.default_rng(number)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


def circle(row, column, radius, height=HEIGHT, width=WIDTH):
    rows, columns = np.ogrid[:height, :width]
    return np.hypot(rows - row, columns - column) <= radius


def disc_and_cup(number, **size):
    """Return disc and cup of the eye with this number; it lies elsewhere in each."""
    row, column = 40 + number % 7, 50 + number % 11
    return circle(row, column, 14, **size), circle(row, column, 6, **size)


def save(pixels, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


TRAINING = frozenset(int(stem[-3:]) for stem in official_stems("Drishti_GS")["train"])


class Drishti:
    """A folder in the layout of Drishti-GS1 with a few of its eyes."""

    NUMBERS = (2, 4, 1, 3)  # two of the training set, two of the test set

    def __init__(self, root, numbers=NUMBERS):
        self.root = root
        for number in numbers:
            disc, cup = disc_and_cup(number)
            save(photograph(number), self.image(number))
            for part, region in (("OD", disc), ("cup", cup)):
                save(np.where(region, 255, 0).astype(np.uint8), self.mask(number, part))

    def _split(self, number):
        return "Training" if number in TRAINING else "Test"

    def image(self, number):
        return self.root / self._split(number) / "Images" / f"drishtiGS_{number:03d}.png"

    def mask(self, number, part):
        gt = {"Training": "GT", "Test": "Test_GT"}[self._split(number)]
        stem = f"drishtiGS_{number:03d}"
        folder = self.root / self._split(number) / gt / stem / "SoftMap"
        return folder / f"{stem}_{part}segSoftmap.png"


@pytest.fixture
def drishti(tmp_path):
    return Drishti(tmp_path / "raw" / "Drishti-GS1_files")
