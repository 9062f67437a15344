# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Compare two prepared images of one eye; runs in worker processes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from grata_monai.imaging import read_mask, read_photograph, split_grey
from grata_monai.preparation.alignment import align, centered, common_window
from grata_monai.preparation.folder import ListedImage
from grata_monai.preparation.store import ROI_TABLE

OK = "ok"
NO_MASKS = "no masks"
ONE_MASK = "a mask on one side only"
ANOTHER_PICTURE = "not the same picture"
UNREADABLE = "a file cannot be read"


@dataclass(frozen=True, kw_only=True)
class Side:
    """A prepared image and what is known of its scale.

    Args:
        image: Its row.
        native: Height and width of the region in pixels of the photograph; None if unknown.
        longer: Longer side of the region in pixels of the photograph, if the user says so.
    """

    image: ListedImage
    native: tuple[int, int] | None = None
    longer: int | None = None

    def native_size(self, stored: tuple[int, int]) -> tuple[int, int]:
        """Return height and width in pixels of the photograph of an image stored with others."""
        if self.longer is not None:
            factor = self.longer / max(stored)
            return round(stored[0] * factor), round(stored[1] * factor)
        return self.native or stored

    @property
    def is_known(self) -> bool:
        """Whether the scale is known."""
        return self.longer is not None or self.native is not None


@dataclass(frozen=True)
class Pair:
    """Two prepared images of one eye.

    Args:
        key: What they have in common.
        first: One.
        second: The other.
    """

    key: str
    first: Side
    second: Side


def eye_key(image: ListedImage) -> str:
    """Return what the literature's names of one eye have in common.

    The stem in lower case, without the g or n (glaucoma or normal) that some put before the names
    of Drishti-GS.
    """
    return re.sub(r"^[gn](?=drishtigs_)", "", image.image_path.stem.lower())


def native_sizes(root: Path, domain: str) -> dict[str, tuple[int, int]]:
    """Return height and width of the regions in pixels of the photograph, by the images' paths.

    Args:
        root: Folder in the authors' layout.
        domain: Name of a domain; without ``roi.csv`` nothing is known of it.

    Raises:
        ValueError: If its ``roi.csv`` is none.
    """
    path = root / domain / ROI_TABLE
    if not path.is_file():
        return {}
    try:
        table = pd.read_csv(path)[["image", "roi_height", "roi_width", "center_from"]].dropna()
        # what was taken whole may have been a region of unknown scale, as ready-made folders have
        table = table[table.pop("center_from") != "whole"]
        return {
            str(image): (int(height), int(width))
            for image, height, width in table.itertuples(index=False)
        }
    except (KeyError, OverflowError, ValueError) as error:
        raise ValueError(f"{path} is not a roi.csv of prepare: {error}") from error


def compare_pair(pair: Pair) -> dict[str, Any]:
    """Return the row of a pair: how the crops lie to each other, and how much they agree."""
    row: dict[str, Any] = {
        "domain": pair.first.image.domain,
        "eye": pair.key,
        "status": OK,
        "first": pair.first.image.image,
        "second": pair.second.image.image,
        "detail": "",
        "assumed": [],
    }
    try:
        row.update(_compare(pair))
    except (OSError, ValueError) as error:
        row.update(status=UNREADABLE, detail=str(error))
    return row


def _compare(pair: Pair) -> dict[str, Any]:
    sides = (pair.first, pair.second)
    stored = [read_photograph(side.image.image_path, follow_exif=False) for side in sides]
    sizes = [side.native_size((p.height, p.width)) for side, p in zip(sides, stored, strict=True)]
    grey = [
        np.asarray(_resized(p.convert("L"), size, Image.Resampling.BICUBIC), dtype=np.float32)
        for p, size in zip(stored, sizes, strict=True)
    ]
    found = align(grey[0], grey[1])
    shift = np.subtract(found.offset, centered(sizes[0], sizes[1]))
    windows = common_window(sizes[0], sizes[1], found.offset)
    parts = [image[window] for image, window in zip(grey, windows, strict=True)]
    row: dict[str, Any] = {"correlation": found.correlation}
    if stored[0].size != stored[1].size or any(side.is_known for side in sides):
        row["assumed"] = [str(s.image.root) for s in sides if not s.is_known]
    if not found.is_same_eye:
        return {**row, "status": ANOTHER_PICTURE, "detail": f"correlation {found.correlation:.2f}"}
    row |= {
        "shift_rows": int(shift[0]),
        "shift_cols": int(shift[1]),
        "shift": float(np.hypot(*shift)),
        "common_height": parts[0].shape[0],
        "common_width": parts[0].shape[1],
        "grey_difference": float(np.abs(parts[0] - parts[1]).mean()),
    }
    masks = [_mask(side.image, size) for side, size in zip(sides, sizes, strict=True)]
    first, second = masks
    if first is None or second is None:
        return {**row, "status": NO_MASKS if first is second else ONE_MASK}
    first, second = (
        mask[(slice(None), *window)] for mask, window in zip((first, second), windows, strict=True)
    )
    return {**row, "disc_dice": dice(first[0], second[0]), "cup_dice": dice(first[1], second[1])}


def dice(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """Return the Dice coefficient of two regions; 1 if both are empty.

    Example:
        >>> dice(np.array([True, True, False]), np.array([True, False, False]))
        0.6666666666666666
    """
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0


def _mask(image: ListedImage, size: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
    if image.mask_path is None:
        return None
    return split_grey(
        np.asarray(_resized(read_mask(image.mask_path), size, Image.Resampling.NEAREST))
    )


def _resized(
    image: Image.Image, size: tuple[int, int], resampling: Image.Resampling
) -> Image.Image:
    height, width = size
    return image if image.size == (width, height) else image.resize((width, height), resampling)
