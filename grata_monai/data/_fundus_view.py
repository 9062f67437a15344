# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Which part of a synthetic eye a picture shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MARGIN = 0.06  # vessels end a little outside the picture


@dataclass(frozen=True)
class View:
    """A square part of an eye; the default is the region around the optic disc.

    Positions and lengths of an eye are in sides of that region, so that anatomy and textures keep
    their physical size whatever a picture shows.

    Args:
        extent: Side of the part in region sides; 1 is the region, a photograph has 2 to 4.
        center: (row, column) of the part's center; columns grow towards the temporal side.
    """

    extent: float = 1.0
    center: tuple[float, float] = (0.0, 0.0)

    def pixels(self, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the rows, (size, 1), and columns, (1, size), of a picture's pixels."""
        places = picture_places(size)
        row, column = (places * self.extent + middle for middle in self.center)
        return row[:, None], column[None, :]

    def share(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return points (row, column) as shares of the picture's side from its upper left."""
        return np.asarray((points - np.asarray(self.center)) / self.extent + 0.5)

    def cells(self, per_region: int) -> int:
        """Return how many cells of a texture fit along the picture."""
        return max(2, round(per_region * self.extent))

    def has_left(self, row: float, column: float) -> bool:
        """Tell whether a point is so far outside that nothing from there on is seen."""
        distance = max(abs(row - self.center[0]), abs(column - self.center[1]))
        return distance > 0.5 * self.extent + _MARGIN


REGION = View()
"""The region around the disc."""


def picture_places(size: int) -> NDArray[np.float32]:
    """Return the places of pixels along a side, in sides, the origin in the picture's center."""
    return ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5).astype(np.float32)


def beyond_region(row: float, column: float) -> float:
    """Return how far a point is outside the region as pictures of it show it; 0 within."""
    return max(0.0, max(abs(row), abs(column)) - (0.5 * REGION.extent + _MARGIN))
