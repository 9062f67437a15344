# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Outlines of disc and cup as closed polygons, and as the paths of an SVG picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.measure import approximate_polygon, find_contours

from grata_monai.imaging.reading import UNREADABLE, open_image

Polygon = npt.NDArray[np.float64]
"""Nx2, x and y in px of the label map; pixel centers lie at halves."""

UNITS = 1000
"""Width of the SVG pictures in their own units."""

TOLERANCE = 0.004
"""How far a simplified outline may be off, as a share of the picture's width (1 px in 256)."""

MOST_PARTS = 24
"""Outlines that are kept of one structure, largest first: crumbs beyond are not drawn."""


def read_labels(path: Path) -> npt.NDArray[np.uint8]:
    """Read a label map: HxW, 0 background, 1 rim, 2 cup.

    Raises:
        OSError: If it cannot be read.
    """
    return np.asarray(read_picture(path, "L"), dtype=np.uint8)


def read_picture(path: Path, mode: str) -> Image.Image:
    """Read a picture of a run, which may be of anybody.

    Args:
        path: The file.
        mode: PIL's name of the kind of pixels wanted.

    Raises:
        OSError: If it cannot be read.
    """
    try:
        with open_image(path) as image:
            return image.convert(mode)
    except UNREADABLE as error:
        raise OSError(f"The picture {path} cannot be read: {error}") from error


def outlines(region: npt.NDArray[np.bool_], *, tolerance: float = TOLERANCE) -> list[Polygon]:
    """Return the simplified outlines of a region, longest first; holes have their own.

    Args:
        region: HxW.
        tolerance: As a share of the width.

    Example:
        >>> square = np.zeros((8, 8), bool)
        >>> square[2:6, 2:6] = True
        >>> [polygon] = outlines(square)
        >>> polygon.min(axis=0), polygon.max(axis=0)
        (array([2., 2.]), array([6., 6.]))
    """
    padded = np.pad(region, 1).astype(float)
    # crumbs are dropped first: a noisy mask has hundreds, and each would take time to simplify
    contours = sorted(find_contours(padded, 0.5), key=_length, reverse=True)[:MOST_PARTS]
    found = []
    for contour in contours:
        simple = approximate_polygon(contour, tolerance * region.shape[1])
        points = (simple if len(simple) > 3 else contour)[:, ::-1] - 0.5
        found.append(np.asarray(points, dtype=np.float64))
    return sorted(found, key=_length, reverse=True)


def svg_path(region: npt.NDArray[np.bool_]) -> str:
    """Return the outlines of a region as the ``d`` of an SVG path, ``UNITS`` wide.

    Points are rounded and relative to the one before, which makes pages small. An empty region
    has an empty path.
    """
    scale = UNITS / region.shape[1]
    parts = []
    for polygon in outlines(region):
        points = np.rint(polygon[:-1] * scale).astype(int)
        steps = np.diff(points, axis=0)
        kept = [f"{x} {y}" for x, y in steps.tolist() if x or y]
        parts.append(f"M{points[0, 0]} {points[0, 1]}l{' '.join(kept)}z")
    return "".join(parts)


def _length(polygon: Polygon) -> float:
    return float(np.hypot(*np.diff(polygon, axis=0).T).sum())
