# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tell the retina in a photograph from the black surround."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import convex_hull_image, isotropic_opening

from grata_monai.imaging import largest_part

_CORNER = 25  # part of the shorter side
_BLACK = 12  # levels that no retina has in a corner
# A surround ends at an edge: twice the tolerance must not add much to it. Retina that gets darker
# towards a corner has no edge.
_TOLERANCE, _GROWTH = 0.03, 1.15
_ABOVE = 0.06  # part of the photograph's range by which the retina is brighter than the surround
_TAB = 0.05  # part of the shorter side; notches and labels that are narrower go


@dataclass(frozen=True)
class FieldOfView:
    """Where a photograph shows the retina.

    Args:
        mask: HxW, true on the retina.
        diameter: Pixels, the larger of its height and width.
        is_round: Whether its whole width is seen, so that its diameter tells the magnification. A
            region that was cut out of a photograph is not round.
    """

    mask: npt.NDArray[np.bool_]
    diameter: float
    is_round: bool

    def extend(self, image: npt.NDArray[Any], margin: float) -> npt.NDArray[Any]:
        """Return the image with the retina continued outwards, so that its border is no edge.

        Args:
            image: HxW or HxWxC.
            margin: Pixels at the border that are replaced, too; cameras blur them.
        """
        if self.mask.all():
            return image
        distance = ndimage.distance_transform_edt(self.mask)
        outside = distance <= min(margin, 0.5 * float(distance.max()))
        nearest = ndimage.distance_transform_edt(
            outside, return_distances=False, return_indices=True
        )
        extended: npt.NDArray[Any] = image[tuple(nearest)]
        return extended


def field_of_view(photograph: npt.NDArray[np.uint8]) -> FieldOfView:
    """Find the retina by the edge of the surround; without a dark corner all is retina.

    Args:
        photograph: HxWx3.
    """
    brightness = ndimage.gaussian_filter(photograph.max(axis=2).astype(np.float32), 1.5)
    size = max(1, min(brightness.shape) // _CORNER)
    corners = [
        float(np.median(brightness[rows, columns]))
        for rows in (slice(size), slice(-size, None))
        for columns in (slice(size), slice(-size, None))
    ]
    black = min(corners)
    spread = float(np.percentile(brightness, 95)) - black
    mask = np.ones(brightness.shape, dtype=bool)
    if _is_surround(brightness, black, spread):
        found = _retina(brightness > black + max(2.0, _ABOVE * spread))
        mask = found if found.any() else mask
    rows, columns = np.nonzero(mask)
    dark = sum(corner < black + max(2.0, _ABOVE * spread) for corner in corners)
    return FieldOfView(
        mask=mask,
        diameter=float(max(np.ptp(rows), np.ptp(columns))) + 1,
        is_round=bool(dark >= 3 and not mask.all()),
    )


def _is_surround(brightness: npt.NDArray[np.float32], black: float, spread: float) -> bool:
    """Tell whether the darkest corner is surround and not just dark retina."""
    if black <= _BLACK:
        return True
    area, larger = (
        float((brightness < black + factor * _TOLERANCE * spread).mean()) for factor in (1, 2)
    )
    return black < spread and larger <= _GROWTH * area


def _retina(bright: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the largest bright part without notches, and with the shadows in it."""
    part = largest_part(isotropic_opening(bright, _TAB * min(bright.shape)))
    return np.asarray(convex_hull_image(part)) if part.any() else part
