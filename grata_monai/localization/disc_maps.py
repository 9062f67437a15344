# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What speaks for a disc at every place: a bright blob, and vessels that run up and down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.feature import hessian_matrix
from skimage.filters import sato
from skimage.morphology import closing, disk
from skimage.transform import downscale_local_mean

from grata_monai.localization.field_of_view import FieldOfView

Map = npt.NDArray[np.float32]

STEP = 2
"""Pixels of the photograph per pixel of the maps."""
# Parts of the field of view's diameter. In 45-degree photographs a large vessel is about 0.012.
_VESSEL_SIGMA, _VESSEL_HALF_WIDTH, _RIM = 0.004, 0.012, 0.012
# Parts of the disc's radius.
_CENTER_SIGMA, _SURROUND_SIGMA = 0.5, 1.6
_ALONG, _ACROSS = 1.2, 0.7
_NO_VESSELS = 0.5
# A tenth of the mean that sharp photographs have: where there are no vessels to speak of, as in a
# blurred photograph, their density must not decide.
_FAINT = 1e-4


@dataclass(frozen=True)
class DiscMaps:
    """Maps of one scale, each pixel ``STEP`` pixels wide.

    Args:
        diameter: Of the discs that they are for, in pixels of the maps.
        contrast: Difference of Gaussians of the logarithm of brightness: about the logarithm of
            how many times brighter the place is than what surrounds it.
        vessels: Density of upright vessels, as a multiple of its mean in the field of view.
    """

    diameter: float
    contrast: Map
    vessels: Map

    @property
    def score(self) -> Map:
        """Return how much like a disc places look: bright and with vessels."""
        bright: Map = np.clip(self.contrast, 0, None) * (self.vessels + _NO_VESSELS)
        return bright


def disc_maps(
    photograph: npt.NDArray[np.uint8], field: FieldOfView, diameters: Sequence[float]
) -> list[DiscMaps]:
    """Return maps for discs of several diameters.

    Args:
        photograph: HxWx3, some 500 pixels.
        field: Its field of view.
        diameters: Pixels of the photograph.
    """
    extended = field.extend(photograph, _RIM * field.diameter)
    inside = _reduce(field.mask.astype(np.float32)) > 0.5
    brightness = _log_brightness(extended, field, inside)
    vessels = _reduce(_upright_vessels(extended[..., 1], field))
    maps = []
    for diameter in diameters:
        radius = 0.5 * diameter / STEP
        center, surround = (
            ndimage.gaussian_filter(brightness, factor * radius, mode="nearest", truncate=3)
            for factor in (_CENTER_SIGMA, _SURROUND_SIGMA)
        )
        density = ndimage.gaussian_filter(
            vessels, (_ALONG * radius, _ACROSS * radius), mode="constant", truncate=3
        )
        density = (density + _FAINT) / (float(density[inside].mean()) + _FAINT)
        contrast = np.where(inside, center - surround, -1).astype(np.float32)
        maps.append(DiscMaps(2 * radius, contrast, density.astype(np.float32)))
    return maps


def _log_brightness(
    photograph: npt.NDArray[np.uint8], field: FieldOfView, inside: npt.NDArray[np.bool_]
) -> Map:
    """Return the logarithm of red plus green, with vessels closed and shadows lifted."""
    closed = _reduce(_closed(photograph[..., :2].mean(axis=2).astype(np.uint8), field))
    # half of the median keeps dark shadows from becoming the strongest contrast of all
    logarithm: Map = np.log(closed + 0.5 * np.median(closed[inside]) + 4)
    return logarithm


def _upright_vessels(green: npt.NDArray[np.uint8], field: FieldOfView) -> Map:
    """Return how much a dark line there is at each place, times how upright it is."""
    # What closing fills is dark and narrow; the flank of a bright spot, which filters for lines
    # would take for one, is not. As a part of the brightness, it is the same in light and shadow.
    closed = _closed(green, field)
    depth = (green - closed) / (closed + 0.5 * float(np.median(closed[field.mask])) + 4)
    sigma = _VESSEL_SIGMA * field.diameter
    lines = sato(depth, sigmas=(sigma, 1.7 * sigma), black_ridges=True, mode="nearest")
    down, mixed, across = hessian_matrix(
        depth, sigma=1.5 * sigma, mode="nearest", order="rc", use_gaussian_derivatives=False
    )
    total = np.abs(across) + np.abs(down) + 2 * np.abs(mixed) + 1e-6
    upright: Map = (lines * np.clip(across - down, 0, None) / total).astype(np.float32)
    if not field.mask.all():
        border = 3 * sigma + _RIM * field.diameter
        upright[ndimage.distance_transform_edt(field.mask) <= border] = 0
    return upright


def _closed(levels: npt.NDArray[np.uint8], field: FieldOfView) -> Map:
    """Return levels without what is dark and narrow."""
    radius = max(1, round(_VESSEL_HALF_WIDTH * field.diameter))
    without: Map = closing(levels, disk(radius)).astype(np.float32)
    return without


def _reduce(image: Map) -> Map:
    """Return the means of blocks; rows and columns that fill no block are left out."""
    height, width = (side // STEP * STEP for side in image.shape)
    reduced: Map = downscale_local_mean(image[:height, :width], (STEP, STEP)).astype(np.float32)
    return reduced
