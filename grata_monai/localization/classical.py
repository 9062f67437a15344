# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Find the optic disc without a network: a bright blob on vessels that run up and down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.special import expit
from skimage.feature import peak_local_max

from grata_monai._checks import check_number
from grata_monai.localization.disc_maps import STEP, DiscMaps, disc_maps
from grata_monai.localization.field_of_view import field_of_view
from grata_monai.localization.location import DiscCandidate, DiscLocation

_OWNER = "locate_disc"
_SMALLEST_SIDE = 32
_WORKING_SIDE = 512
_KEPT = 5
# Disc diameters that are tried, as parts of the field of view's: about 0.17 in the photographs of
# Drishti-GS, 0.14 in those of REFUGE. Regions that were cut out of photographs show less of it.
_WHOLE = (0.09, 0.125, 0.17, 0.23)
_PART = (*_WHOLE, 0.32, 0.44, 0.6)
_AROUND_GIVEN = (0.8, 1.0, 1.25)
_SPARSE, _FEW = 8, 8  # every how many pixels levels are counted, and how many are few
_FLAT = 4  # levels between dark and bright below which there is nothing to see
# Confidence: logistic regression on the logarithms of (second best score / best, contrast, vessel
# density), rounded; see locate_disc.
_BIAS, _WEIGHTS = 0.8, (-1.2, 2.3, 2.0)
_LEAST = (0.02, 0.01, 0.3)


def locate_disc(
    photograph: npt.NDArray[np.uint8], *, disc_diameter: float | None = None
) -> DiscLocation:
    """Find the optic disc in a whole photograph, or in a region of one.

    The photograph is scaled to 512 pixels on the long side. Places are scored by the difference of
    Gaussians of red plus green (logarithm, vessels closed) times the density of upright vessels, at
    several scales; the black surround is left out. The center is the mean of the contrast around
    the best place. Photographs may be upside down or mirrored; in one turned by 90 degrees the
    vessels no longer help, and the confidence is lower.

    The confidence grows with the best place's lead over the second best (more than a disc diameter
    away), its contrast and its vessels. It is no probability: its weights were fitted on changed
    copies of four photographs of Drishti-GS, 66 regions of Drishti-GS and REFUGE and 30 synthetic
    photographs, against copies without a disc, so that 0.5 tells most of them apart: 2 of 20 real
    copies without a disc were above, 5 of 116 with one below. Of regions that show little more than
    the disc, 19 of 101 were below; none with ``disc_diameter``. Other cameras and diseased eyes
    have not been measured. Look at what is below 0.5, and at a sample of the rest.

    Args:
        photograph: HxWx3, each side at least 32 pixels.
        disc_diameter: About how large the disc is, in pixels of the photograph; within a factor of
            1.5 will do. By default it is found, from 0.09 to 0.23 of a whole photograph's field of
            view and up to 0.6 of a region's.

    Returns:
        Where it is, with method "classical". Where there is nothing to see, as in a photograph of
        one color, this is the middle with confidence 0 and a note. An image with few levels, as a
        mask has, has confidence 0 and a note, too.

    Raises:
        ValueError: If the photograph is not such an array, or the diameter not a positive number
            that fits into it.

    Example:
        >>> from skimage.draw import disk
        >>> photograph = np.full((120, 160, 3), 90, dtype=np.uint8)
        >>> photograph[disk((70, 50), 14)] = 200
        >>> found = locate_disc(photograph)
        >>> round(found.row), round(found.column)
        (70, 50)
    """
    _check(photograph, disc_diameter)
    height, width = photograph.shape[:2]
    small, scale = _scaled(photograph)
    field = field_of_view(small)
    seen = small[field.mask].max(axis=1)
    if float(np.ptp(np.percentile(seen, (1, 99)))) < _FLAT:
        note = "nothing to see: the photograph is of one color, or black"
        return DiscLocation((height - 1) / 2, (width - 1) / 2, 0.0, "classical", note)
    if disc_diameter is None:
        diameters = [part * field.diameter for part in (_WHOLE if field.is_round else _PART)]
    else:
        diameters = [factor * disc_diameter * scale for factor in _AROUND_GIVEN]
    maps = disc_maps(small, field, diameters)
    places = _best_places(maps)
    if not places:
        note = "no place is brighter than what surrounds it"
        return DiscLocation((height - 1) / 2, (width - 1) / 2, 0.0, "classical", note)
    found = _location(maps, places, photograph.shape, scale)
    if np.unique(photograph[::_SPARSE, ::_SPARSE]).size <= _FEW:
        return replace(found, confidence=0.0, note="it has few levels, as a mask has")
    return found


@dataclass(frozen=True)
class _Place:
    """A peak of the score, in pixels of the maps."""

    row: int
    column: int
    scale: int
    diameter: float
    score: float


def _check(photograph: npt.NDArray[np.uint8], disc_diameter: float | None) -> None:
    shape, kind = getattr(photograph, "shape", None), getattr(photograph, "dtype", None)
    if shape is None or len(shape) != 3 or shape[2] != 3 or kind != np.uint8:
        raise ValueError(
            f"The 'photograph' parameter of {_OWNER} must be an array HxWx3 of unsigned 8-bit "
            f"levels. Got shape {shape} and type {kind}."
        )
    if min(shape[:2]) < _SMALLEST_SIDE:
        raise ValueError(
            f"{_OWNER} needs at least {_SMALLEST_SIDE} pixels on each side. "
            f"Got {shape[0]} rows and {shape[1]} columns."
        )
    if disc_diameter is not None:
        check_number(_OWNER, "disc_diameter", disc_diameter, minimum=4, maximum=max(shape[:2]))


def _scaled(photograph: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], float]:
    """Return the photograph with the working side, and by what it was multiplied."""
    height, width = photograph.shape[:2]
    scale = _WORKING_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(photograph)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)), scale


def _best_places(maps: Sequence[DiscMaps]) -> list[_Place]:
    """Return the highest peaks over all scales, best first, a disc diameter apart."""
    scores = np.stack([one.score for one in maps])
    best = scores.max(axis=0)
    peaks = peak_local_max(best, min_distance=3, threshold_abs=1e-6, exclude_border=False)
    places: list[_Place] = []
    for row, column in peaks:
        diameter = _diameter_at(maps, row, column)
        place = _Place(
            int(row),
            int(column),
            int(scores[:, row, column].argmax()),
            diameter,
            float(best[row, column]),
        )
        if all(
            math.hypot(row - other.row, column - other.column) > max(diameter, other.diameter)
            for other in places
        ):
            places.append(place)
        if len(places) == _KEPT:
            break
    return places


def _diameter_at(maps: Sequence[DiscMaps], row: int, column: int) -> float:
    """Return the diameter with the highest contrast (vessels would prefer small ones)."""
    return max(maps, key=lambda one: float(one.contrast[row, column])).diameter


def _location(
    maps: Sequence[DiscMaps], places: Sequence[_Place], shape: tuple[int, ...], scale: float
) -> DiscLocation:
    best = places[0]
    row, column, contrast = _center_of_contrast(maps, best)
    vessels = float(maps[best.scale].vessels[best.row, best.column])
    second = places[1].score if len(places) > 1 else 0.0
    found = DiscLocation(
        _native(row, scale),
        _native(column, scale),
        _confidence(second / best.score, contrast, vessels),
        "classical",
        candidates=tuple(
            DiscCandidate(
                _native(place.row, scale),
                _native(place.column, scale),
                place.diameter * STEP / scale,
                place.score,
            )
            for place in places
        ),
    )
    return found.inside(shape)


def _confidence(second: float, contrast: float, vessels: float) -> float:
    """Return the confidence, see :func:`locate_disc`.

    Args:
        second: Score of the second best place as a part of the best's.
        contrast: As of :class:`DiscMaps`.
        vessels: As of :class:`DiscMaps`.
    """
    features = (
        max(value, least) for value, least in zip((second, contrast, vessels), _LEAST, strict=True)
    )
    terms = (weight * math.log(value) for weight, value in zip(_WEIGHTS, features, strict=True))
    return float(expit(_BIAS + sum(terms)))


def _center_of_contrast(maps: Sequence[DiscMaps], place: _Place) -> tuple[float, float, float]:
    """Return (row, column) of the mean of the squared contrast around a place, and its maximum."""
    contrast = max(maps, key=lambda one: -abs(one.diameter - place.diameter)).contrast
    rows, columns = np.ogrid[: contrast.shape[0], : contrast.shape[1]]
    near = np.hypot(rows - place.row, columns - place.column) <= 0.5 * place.diameter
    weights = np.where(near, np.clip(contrast, 0, None), 0).astype(np.float64) ** 2
    total = float(weights.sum())
    if not total:
        return place.row, place.column, 0.0
    return (
        float((weights * rows).sum()) / total,
        float((weights * columns).sum()) / total,
        math.sqrt(float(weights.max())),
    )


def _native(position: float, scale: float) -> float:
    """Return a row or column of the maps in pixels of the photograph (pixel centers)."""
    return float(((position + 0.5) * STEP) / scale - 0.5)
