# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Find out how two crops of one photograph lie to each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from grata_monai.imaging import overlap

Grey = npt.NDArray[np.float32]
Offset = tuple[int, int]

# Measured on real regions: 218 with themselves, moved by up to 100 of 400 pixels and saved as JPEG
# or at 5/8 of the size, give at least 0.9, noisy ones of 64 to 256 pixels at least 0.83. Pairs of
# different eyes give at most 0.23, synthetic ones of 64 pixels 0.34.
SAME_EYE = 0.6
_ROUNDS = 10
# Vessels lie between these scales, noise below, disc and shading above; by the smaller crop's side.
_COARSE, _FINE = 12 / 512, 1 / 512
_COARSE_RANGE, _FINE_RANGE = (2.0, 20.0), (0.5, 2.0)  # pixels
_SMALLEST_COMMON, _SMALLEST_SHARE = 32, 0.25  # of the smaller crop's side, in pixels
_FLAT = 1e-3  # standard deviation in grey levels
_TEMPLATE_SIDE = 128  # of the image that match_template searches


@dataclass(frozen=True)
class Alignment:
    """How two crops lie to each other.

    Args:
        offset: Where (row, column) the second crop's first pixel lies in the first crop.
        correlation: Of the fine structure in the common window, -1 to 1.
    """

    offset: Offset
    correlation: float

    @property
    def is_same_eye(self) -> bool:
        """Whether the correlation leaves no doubt that they show one eye."""
        return self.correlation >= SAME_EYE


def common_window(
    first: tuple[int, ...], second: tuple[int, ...], offset: Offset
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the pixels that both crops show, as (rows, columns) of the first and the second.

    Args:
        first: Height and width of the first crop.
        second: Likewise.
        offset: As of :class:`Alignment`.

    Example:
        >>> common_window((10, 10), (6, 6), (-2, 7))[1]
        (slice(2, 6, None), slice(0, 3, None))
    """
    rows, to_rows = overlap(offset[0], second[0], first[0])
    columns, to_columns = overlap(offset[1], second[1], first[1])
    return (rows, columns), (to_rows, to_columns)


def centered(first: tuple[int, ...], second: tuple[int, ...]) -> Offset:
    """Return the offset of two crops with one center."""
    return (first[0] - second[0]) // 2, (first[1] - second[1]) // 2


def align(first: Grey, second: Grey) -> Alignment:
    """Return how two grey crops of one scale lie to each other, in whole pixels.

    The shift is measured by phase correlation in the common window, which is cut anew until there
    is none left. Where that does not end in images that correlate, the middle of the second crop
    is searched in the first, and the other way round, and measured again from there.
    """
    side = min(*first.shape, *second.shape)
    fine = [_fine_structure(image, side) for image in (first, second)]
    start = centered(first.shape, second.shape)
    best = Alignment(start, -1.0)
    for offset in (start, *_searched(*fine)):
        refined = _refine(fine[0], fine[1], offset)
        found = Alignment(refined, correlation(fine[0], fine[1], refined))
        best = max(best, found, key=lambda alignment: alignment.correlation)
        if best.is_same_eye:
            break
    return best


def correlation(first: Grey, second: Grey, offset: Offset) -> float:
    """Return the correlation of two images in their common window, -1 if that is too small."""
    parts = _common_parts(first, second, offset)
    if parts is None:
        return -1.0
    return float(np.corrcoef(parts[0].ravel(), parts[1].ravel())[0, 1])


def _common_parts(first: Grey, second: Grey, offset: Offset) -> tuple[Grey, Grey] | None:
    """Return what both show, None if that is too little to compare."""
    windows = common_window(first.shape, second.shape, offset)
    one, other = first[windows[0]], second[windows[1]]
    needed = max(_SMALLEST_COMMON, _SMALLEST_SHARE * min(*first.shape, *second.shape))
    if min(one.shape) < needed or min(one.std(), other.std()) < _FLAT:
        return None
    return one, other


def _refine(first: Grey, second: Grey, offset: Offset) -> Offset:
    from skimage.registration import phase_cross_correlation

    seen = {offset}
    for _ in range(_ROUNDS):
        parts = _common_parts(first, second, offset)
        if parts is None:
            return offset
        one, other = parts
        taper = np.outer(np.hanning(one.shape[0]), np.hanning(one.shape[1]))
        shift: npt.NDArray[Any] = phase_cross_correlation(one * taper, other * taper)[0]
        rows, columns = (int(step) for step in np.round(shift))
        candidate = (offset[0] + rows, offset[1] + columns)
        if candidate in seen:  # no shift left, or the same ones again
            return candidate
        seen.add(candidate)
        offset = candidate
    return offset


def _searched(first: Grey, second: Grey) -> Iterator[Offset]:
    """Yield offsets at which the middle of either image is found in the other."""
    yield from _search(first, second)
    for rows, columns in _search(second, first):
        yield -rows, -columns


def _search(image: Grey, other: Grey) -> Iterator[Offset]:
    from skimage.feature import match_template  # slow to import and seldom needed

    scale = _TEMPLATE_SIDE / max(image.shape)
    small, small_other = (ndimage.zoom(part, scale, order=1) for part in (image, other))
    top, left = small_other.shape[0] // 4, small_other.shape[1] // 4
    template = small_other[top : top + 2 * top, left : left + 2 * left]
    if any(t > s or t < 8 for t, s in zip(template.shape, small.shape, strict=True)):
        return
    if template.std() < _FLAT:
        return
    scores = match_template(small, template)
    row, column = np.unravel_index(int(np.argmax(scores)), scores.shape)
    yield round((int(row) - top) / scale), round((int(column) - left) / scale)


def _fine_structure(image: Grey, side: int) -> Grey:
    """Return the vessels and outlines of an image."""
    coarse, fine = np.clip(_COARSE * side, *_COARSE_RANGE), np.clip(_FINE * side, *_FINE_RANGE)
    structure: Grey = ndimage.gaussian_filter(image, fine) - ndimage.gaussian_filter(image, coarse)
    return structure
