# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Draw the outlines of disc and cup on a photograph."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

DISC_COLOR = (0, 230, 140)
CUP_COLOR = (60, 150, 255)
TRUTH_COLOR = (255, 255, 255)
"""A light green and a blue, which the color-blind tell apart on an orange retina, and white."""

_PIXELS_PER_LINE_WIDTH = 300


def draw_overlay(
    photograph: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    truth: npt.NDArray[np.uint8] | None = None,
) -> npt.NDArray[np.uint8]:
    """Return a copy of a photograph with the outlines of disc and cup on it.

    Lines lie inside the structures; their width grows with the photograph. The true outlines are
    white and half as wide, drawn last.

    Args:
        photograph: HxWx3.
        labels: HxW, 0 background, 1 rim, 2 cup.
        truth: The same from a person; None if there is none.

    Raises:
        ValueError: If the sizes differ.
    """
    canvas = photograph.copy()
    width = max(2, round(max(canvas.shape[:2]) / _PIXELS_PER_LINE_WIDTH))
    _draw(canvas, labels, width, DISC_COLOR, CUP_COLOR)
    if truth is not None:
        _draw(canvas, truth, width // 2, TRUTH_COLOR, TRUTH_COLOR)
    return canvas


def _draw(
    canvas: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    width: int,
    disc_color: tuple[int, int, int],
    cup_color: tuple[int, int, int],
) -> None:
    if labels.shape != canvas.shape[:2]:
        raise ValueError(
            f"The label map has the shape {labels.shape}, but the photograph {canvas.shape[:2]}."
        )
    canvas[_outline(labels >= 1, width)] = disc_color
    canvas[_outline(labels == 2, width)] = cup_color


def _outline(region: npt.NDArray[np.bool_], width: int) -> npt.NDArray[Any]:
    """Return the pixels of a region that are within ``width`` of its outside."""
    inside = ndimage.binary_erosion(region, iterations=width, border_value=1)
    outline: npt.NDArray[Any] = region & ~inside
    return outline
