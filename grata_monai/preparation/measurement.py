# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Measure one image with its mask; runs in worker processes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from grata_monai.imaging import read_mask, read_photograph, split_grey
from grata_monai.preparation.folder import ListedImage

BLACKEST = 10
"""A pixel is black, outside of what the camera saw, if no channel is above this level."""

_RING = 0.25
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class MaskMeasures:
    """What a mask says.

    Args:
        diameter: Of the circle with the disc's area, in pixels; NaN without a disc.
        area_ratio: Area of the cup by that of the disc.
        vertical_ratio: Height of the cup by that of the disc.
        contrast: Mean grey level of the disc minus that of a ring around it, a quarter of its
            diameter wide; black pixels count in neither.
    """

    diameter: float
    area_ratio: float
    vertical_ratio: float
    contrast: float


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What an image and its mask say.

    Args:
        size: Width and height.
        black: Number of black pixels.
        seen: Number of other pixels.
        sums: Their sum by channel.
        squares: Their sum of squares by channel.
        mask: From the mask; None if there is none.
    """

    size: tuple[int, int]
    black: int
    seen: int
    sums: tuple[float, ...]
    squares: tuple[float, ...]
    mask: MaskMeasures | None


def measure_image(listed: ListedImage) -> Measures | str:
    """Return the measures of a row, or why there are none."""
    try:
        photograph = np.asarray(read_photograph(listed.image_path, follow_exif=False))
        mask = None
        if listed.mask_path is not None:
            grey = np.asarray(read_mask(listed.mask_path))
            if grey.shape != photograph.shape[:2]:
                return f"{listed.mask} has another size than its image"
            mask = measure_mask(grey, photograph)
    except (OSError, ValueError) as error:
        return str(error)
    seen = photograph.max(axis=-1) > BLACKEST
    pixels = photograph[seen].astype(np.float64)
    return Measures(
        size=(photograph.shape[1], photograph.shape[0]),
        black=int(seen.size - len(pixels)),
        seen=len(pixels),
        sums=tuple(pixels.sum(axis=0).tolist()),
        squares=tuple((pixels**2).sum(axis=0).tolist()),
        mask=mask,
    )


def measure_mask(grey: npt.NDArray[np.uint8], photograph: npt.NDArray[np.uint8]) -> MaskMeasures:
    """Return the measures of an HxW grey mask on its HxWx3 photograph.

    Example:
        >>> grey = np.full((40, 40), 255, dtype=np.uint8)
        >>> grey[10:30, 10:30] = 128
        >>> grey[15:25, 10:20] = 0
        >>> photograph = np.where(grey < 255, 200, 50).astype(np.uint8)
        >>> measured = measure_mask(grey, np.stack([photograph] * 3, axis=-1))
        >>> measured.area_ratio, measured.vertical_ratio, round(measured.contrast)
        (0.25, 0.5, 150)
    """
    disc, cup = split_grey(grey)
    area = int(disc.sum())
    if not area:
        return MaskMeasures(
            diameter=math.nan, area_ratio=math.nan, vertical_ratio=math.nan, contrast=math.nan
        )
    diameter = 2 * math.sqrt(area / math.pi)
    return MaskMeasures(
        diameter=diameter,
        area_ratio=float(cup.sum() / area),
        vertical_ratio=rows_spanned(cup) / rows_spanned(disc),
        contrast=_contrast(disc, photograph, _RING * diameter),
    )


def rows_spanned(region: npt.NDArray[np.bool_]) -> int:
    """Return how many rows a region spans, from the first to the last; 0 if it is empty."""
    rows = np.flatnonzero(region.any(axis=1))
    return int(rows[-1] - rows[0] + 1) if rows.size else 0


def _contrast(
    disc: npt.NDArray[np.bool_], photograph: npt.NDArray[np.uint8], width: float
) -> float:
    seen = photograph.max(axis=-1) > BLACKEST
    # outside the bounding box of disc and ring there is nothing to measure
    rows, columns = np.flatnonzero(disc.any(axis=1)), np.flatnonzero(disc.any(axis=0))
    margin = math.ceil(width) + 1
    box = (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
    )
    distance = ndimage.distance_transform_edt(~disc[box])
    inside = disc[box] & seen[box]
    ring = (distance > 0) & (distance <= width) & seen[box]
    if not inside.any() or not ring.any():
        return math.nan
    grey = photograph[box].astype(np.float32) @ _LUMA
    return float(grey[inside].mean() - grey[ring].mean())
