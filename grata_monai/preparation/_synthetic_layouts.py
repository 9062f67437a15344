# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The files that one synthetic eye has in each of the five raw layouts.

Sizes, file names and encodings are the official ones. Centers and sizes of the discs are such that
regions around them have the look of the synthetic domain that the layout is painted with.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grata_monai.data.synthetic_photograph import paint_photograph
from grata_monai.imaging import disc_center
from grata_monai.preparation._synthetic_experts import agreement, drawn_by_experts
from grata_monai.preparation._synthetic_files import (
    bmp_bytes,
    jpeg_bytes,
    mat_bytes,
    png_bytes,
)

Files = dict[str, bytes]
Pixels = npt.NDArray[np.uint8]

ORIGA_LIST = "ORIGA/OrigaList.csv"
"""The one file that all eyes share; each gives a line."""
ORIGA_HEADER = b"Eye,Filename,ExpCDR,Set,Glaucoma\n"

_REGION = 800  # pixels of the benchmark's regions
_AGREEMENT_LEVELS = np.array([0, 64, 128, 191, 255], np.uint8)
_LARGE_CUP = 0.6  # cup-to-disc ratio from which the lists say glaucoma


@dataclass(frozen=True)
class Eye:
    """One image to paint.

    Args:
        layout: Key of the layout.
        stem: Official name.
        is_test: Whether it is of the second part of its set: test, or REFUGE's test set.
        scale: Size in native sizes.
        seed: Seed of the whole set.
    """

    layout: str
    stem: str
    is_test: bool
    scale: float
    seed: int

    @property
    def seeds(self) -> tuple[int, ...]:
        """What the painter is seeded with."""
        return self.seed, zlib.crc32(self.layout.encode()), zlib.crc32(self.stem.encode())

    @property
    def number(self) -> int:
        """The number in the name of a numbered set."""
        return int(self.stem[-3:])

    def generator(self) -> np.random.Generator:
        """Return the source of what the painter does not draw."""
        return np.random.default_rng((*self.seeds, 1))

    def pixels(self, native: float) -> int:
        """Return a length in pixels."""
        return round(native * self.scale)


def rim_one_files(eye: Eye) -> Files:
    """Return the stereo pair and the masks of RIM-ONE r3, with all marks in the left view."""
    generator = eye.generator()
    view, height = eye.pixels(1072), eye.pixels(1424)
    shift = max(1, eye.pixels(24))
    side = 1 if eye.stem.endswith("R") else -1  # the right eye's disc is right of the fovea
    row, column = 0.46 + generator.uniform(-0.06, 0.06), 0.5 + side * generator.uniform(0.01, 0.07)
    wide, grey = paint_photograph(
        "Synthetic_A",
        seed=eye.seeds,
        height=height,
        width=view + shift,
        disc_center=(row, column),
        extent=(1072 + 24) / _REGION,
        field_diameter=1.5,
    )
    pair = np.concatenate([wide[:, :view], wide[:, shift:]], axis=1)
    strictness, cup_strictness = generator.uniform(0.02, 0.05), generator.uniform(0.04, 0.09)
    discs, cups = drawn_by_experts(
        grey[:, :view] < 255,
        grey[:, :view] == 0,
        (0.0, strictness, -strictness),
        (0.0, cup_strictness, -cup_strictness),
    )
    group = "Healthy" if eye.stem.startswith("N") else "Glaucoma and suspects"
    folder = f"RIM-ONE r3/{group}"
    files = {f"{folder}/Stereo Images/{eye.stem}.jpg": jpeg_bytes(pair, quality=92)}
    names = ("Average_masks/{}-{}-Avg", "Expert1_masks/{}-1-{}-exp1", "Expert2_masks/{}-1-{}-exp2")
    for name, disc, cup in zip(names, discs, cups, strict=True):
        for role, structure in (("Disc", disc), ("Cup", cup)):
            full = np.zeros((height, 2 * view), np.uint8)
            full[:, :view][structure] = 255
            files[f"{folder}/{name.format(eye.stem, role)}.png"] = png_bytes(full)
    return files


def refuge_files(eye: Eye) -> Files:
    """Return photograph and mask of REFUGE's training set; all its discs lie on the left."""
    generator = eye.generator()
    pixels, mask = paint_photograph(
        "Synthetic_B",
        seed=eye.seeds,
        height=eye.pixels(2056),
        width=eye.pixels(2124),
        disc_center=(generator.uniform(0.45, 0.55), generator.uniform(0.13, 0.28)),
        extent=2124 / _REGION,
        field_diameter=0.965,
    )
    group = "Glaucoma" if eye.stem.startswith("g") else "Non-Glaucoma"
    masks = f"Annotation-Training400/Disc_Cup_Masks/{group}"
    return {
        f"Training400/{group}/{eye.stem}.jpg": jpeg_bytes(pixels, quality=95),
        f"{masks}/{eye.stem}.bmp": bmp_bytes(mask),
    }


def refuge_valid_files(eye: Eye) -> Files:
    """Return photograph and mask of REFUGE's validation set or test set."""
    generator = eye.generator()
    side = eye.pixels(1634)
    pixels, mask = paint_photograph(
        "Synthetic_D",
        seed=eye.seeds,
        height=side,
        width=side,
        disc_center=(generator.uniform(0.45, 0.55), generator.uniform(0.15, 0.34)),
        extent=1634 / _REGION,
        field_diameter=0.985,
    )
    if eye.is_test:
        image = "Test400"
        # 40 of 400; which ones have glaucoma in the original does not matter here
        masks = f"REFUGE-Test-GT/Disc_Cup_Masks/{'G' if eye.number % 10 == 1 else 'N'}"
    else:
        image, masks = "REFUGE-Validation400", "REFUGE-Validation400-GT/Disc_Cup_Masks"
    return {
        f"{image}/{eye.stem}.jpg": jpeg_bytes(pixels, quality=95),
        f"{masks}/{eye.stem}.bmp": bmp_bytes(mask),
    }


def origa_files(eye: Eye) -> Files:
    """Return photograph and mask, as PNG and MATLAB file, of ORIGA's mirror at Kaggle."""
    generator = eye.generator()
    shift = generator.uniform(0.05, 0.15) * (1 if generator.uniform() < 0.5 else -1)
    pixels, grey = paint_photograph(
        "Synthetic_C",
        seed=eye.seeds,
        height=eye.pixels(2048),
        width=eye.pixels(3072),
        disc_center=(generator.uniform(0.44, 0.56), 0.5 + shift),
        extent=3072 / _REGION,
        field_diameter=0.86,
    )
    labels = np.select([grey == 0, grey == 128], [2, 1], 0).astype(np.uint8)
    return {
        f"ORIGA/Images/{eye.stem}.jpg": jpeg_bytes(pixels, quality=90),
        f"ORIGA/Masks/{eye.stem}.png": png_bytes(labels),
        f"ORIGA/Semi-automatic-annotations/{eye.stem}.mat": mat_bytes(mask=labels),
        ORIGA_LIST: _origa_row(eye.number, labels),
    }


def _origa_row(number: int, labels: Pixels) -> bytes:
    disc, cup = (np.count_nonzero((labels >= low).any(axis=1)) for low in (1, 2))
    ratio = cup / disc
    # half of the images are of set A, half of set B
    cells = ("OD" if number % 4 < 2 else "OS", f"{number:03d}.jpg", f"{ratio:.4f}")
    return f"{','.join(cells)},{'AB'[number % 2]},{int(ratio > _LARGE_CUP)}\n".encode()


def drishti_files(eye: Eye) -> Files:
    """Return photograph, soft maps of four experts and disc center of Drishti-GS1."""
    generator = eye.generator()
    pixels, grey = paint_photograph(
        "Synthetic_E",
        seed=eye.seeds,
        height=eye.pixels(int(generator.integers(1749, 1763))),
        width=eye.pixels(int(generator.integers(2045, 2050))),
        disc_center=(generator.uniform(0.43, 0.58), generator.uniform(0.42, 0.58)),
        extent=2048 / _REGION,
        field_diameter=0.985,
    )
    # As far apart as the areas on which 4, 3 and 2 of the real experts agree.
    ranks = np.array([1.5, 0.5, -0.5, -1.5]) * generator.uniform(0.8, 1.2)
    discs, cups = drawn_by_experts(
        grey < 255, grey == 0, (0.022 * ranks).tolist(), (0.076 * ranks).tolist()
    )
    split, truth = ("Test", "Test_GT") if eye.is_test else ("Training", "GT")
    folder = f"Drishti-GS1_files/{split}"
    marks = f"{folder}/{truth}/{eye.stem}"
    row, column = disc_center(grey)
    soft = {"OD": agreement(discs), "cup": agreement(cups)}
    return {
        f"{folder}/Images/{eye.stem}.png": png_bytes(pixels),
        **{
            f"{marks}/SoftMap/{eye.stem}_{role}segSoftmap.png": png_bytes(_AGREEMENT_LEVELS[count])
            for role, count in soft.items()
        },
        f"{marks}/AvgBoundary/{eye.stem}_diskCenter.txt": f"{row:.0f} {column:.0f}\n".encode(),
    }
