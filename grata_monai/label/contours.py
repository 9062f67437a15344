# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Polygons of disc and cup for viewers, and back.

Coordinates are those of viewers and of SVG: the photograph reaches from 0 to its width and height,
so that the center of its first pixel is at (0.5, 0.5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_fill_holes
from skimage.measure import approximate_polygon, find_contours

from grata_monai.label._label_volumes import CUP, RIM, LabelMap
from grata_monai.label.segmentation import SEGMENTS

SMALLEST_AREA = 12.0
"""Parts of fewer px are left out: nobody can correct them, and viewers get slow with hundreds."""
_BEYOND = 2  # px


def contours(labels: npt.NDArray[np.uint8], *, tolerance: float = 0.75) -> list[dict[str, Any]]:
    """Return the outer borders of disc and cup as polygons.

    Args:
        labels: HxW: 0 background, 1 rim, 2 cup.
        tolerance: How far the polygon may be off the border, in px.

    Returns:
        ``{"label": "optic disc", "contours": [[[x, y], ...], ...]}``, then "optic cup", with x
        along columns and y along rows. Largest part first; the last point of a polygon is joined
        to the first, which is not repeated. A structure that is not there has no polygons.

    Example:
        >>> labels = np.zeros((40, 40), np.uint8)
        >>> labels[:30, :20] = 1
        >>> disc, cup = contours(labels)
        >>> np.max(disc["contours"][0], axis=0), cup
        (array([20., 30.]), {'label': 'optic cup', 'contours': []})
    """
    return [
        {"label": name, "contours": _polygons(np.asarray(labels) >= value, tolerance)}
        for name, value in SEGMENTS.items()
    ]


def rasterize(contours: Iterable[Mapping[str, Any]], size: tuple[int, int]) -> LabelMap:
    """Return the label map of polygons: pixels whose center is inside.

    The cup lies inside the disc by anatomy: parts of it outside become background.

    Args:
        contours: As :func:`contours` returns them.
        size: (rows, columns) of the photograph.

    Raises:
        ValueError: If these are no polygons, a label is unknown, or there is a cup but no disc.
    """
    masks = {name: np.zeros(size, dtype=bool) for name in SEGMENTS}
    for name, polygons in map(_segment, _listed(contours)):
        for points in polygons:
            masks[name] |= _inside(_checked(points, name), size)
    disc, cup = masks.values()
    if cup.any() and not disc.any():
        raise ValueError("There is a cup but no disc around it; draw the disc, too.")
    labels = np.where(disc, RIM, 0).astype(np.uint8)
    labels[disc & cup] = CUP
    return labels


def _segment(segment: Any) -> tuple[str, list[Any]]:
    """Return the label and the polygons of a part of what a viewer sent."""
    given = segment if isinstance(segment, Mapping) else {}
    name = given.get("label")
    if not isinstance(name, str) or name not in SEGMENTS:
        raise ValueError(
            f"The label of polygons must be one of {', '.join(SEGMENTS)}. Got {name!r}."
        )
    return name, _listed(given.get("contours"))


def _listed(value: Any) -> list[Any]:
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise ValueError(f"The contours of labels must be a list. Got {str(value)[:80]}.")
    return list(value)


def _polygons(region: npt.NDArray[np.bool_], tolerance: float) -> list[list[list[float]]]:
    """Return the outer borders of a region, largest first."""
    height, width = region.shape
    # What touches the photograph's border goes on beyond it and is cut afterwards: simplifying
    # would else round off its corners and take a px off the whole side.
    beyond = np.pad(region, _BEYOND, mode="edge")
    rows, columns = np.flatnonzero(beyond.any(axis=1)), np.flatnonzero(beyond.any(axis=0))
    if not rows.size:
        return []
    top, left = rows[0], columns[0]
    part = beyond[top : rows[-1] + 1, left : columns[-1] + 1]
    origin = np.array([left, top]) - _BEYOND - 0.5  # padded by one, and centers lie at halves
    found: list[tuple[float, list[list[float]]]] = []
    for border in find_contours(np.pad(binary_fill_holes(part), 1).astype(float), 0.5):
        size = _area(border[:-1])
        if size < SMALLEST_AREA:  # a noisy map has hundreds, each of which takes time
            continue
        simple = approximate_polygon(border, tolerance)
        kept = (simple if len(simple) > 3 else border)[:-1, ::-1] + origin
        points = np.clip(np.round(kept, 2), 0.0, (width, height))
        found.append((size, points.tolist()))
    return [points for _, points in sorted(found, key=lambda one: -one[0])]


def _checked(points: Any, name: str) -> npt.NDArray[np.float64]:
    try:
        array = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) < 3 or not np.isfinite(array).all():
        raise ValueError(
            f"A polygon of {name!r} must be a list of at least three points [x, y]. "
            f"Got {str(points)[:80]}."
        )
    return array


def _inside(polygon: npt.NDArray[np.float64], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels whose center is inside a polygon, by the even-odd rule.

    A row enters or leaves the polygon where it crosses an edge. (Testing each pixel against each
    edge takes seconds for a whole photograph.)
    """
    height, width = size
    crossings = np.zeros((height, width + 1), dtype=bool)
    for one, other in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        (x0, y0), (x1, y1) = sorted((one, other), key=lambda point: point[1])
        first, end = (min(max(int(np.ceil(y - 0.5)), 0), height) for y in (y0, y1))
        rows = np.arange(first, end)
        if rows.size:
            x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            crossings[rows, np.clip(np.ceil(x - 0.5), 0, width).astype(int)] ^= True
    return np.logical_xor.accumulate(crossings, axis=1)[:, :width]


def _area(polygon: npt.NDArray[np.float64]) -> float:
    """Return the area of a polygon by the shoelace formula."""
    x, y = (polygon - polygon[0]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
