# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Grey masks of disc and cup: 0 = cup, 1..254 = rim (disc without cup), 255 = background."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.measure import label as label_components

CUP_GREY, RIM_GREY, BACKGROUND_GREY = 0, 128, 255


def label_map(mask: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return one label per pixel: 0 background, 1 rim, 2 cup.

    The cup lies inside the disc by anatomy; cup pixels outside the disc become background.

    Args:
        mask: 2xHxW of zeros and ones (or booleans), disc and cup.

    Raises:
        ValueError: If the mask has another shape or other values.

    Example:
        >>> label_map(np.array([[[0, 1, 1, 0]], [[0, 0, 1, 1]]]))
        array([[0, 1, 2, 0]], dtype=uint8)
    """
    array = np.asarray(mask)
    if array.ndim != 3 or array.shape[0] != 2:
        raise ValueError(
            f"A mask of disc and cup must have the shape (2, height, width). Got {array.shape}."
        )
    if not ((array == 0) | (array == 1)).all():
        raise ValueError(
            "A mask of disc and cup must hold only 0 and 1. "
            f"Got values from {array.min():g} to {array.max():g}; threshold probabilities first."
        )
    disc, cup = array.astype(bool)
    labels: npt.NDArray[np.uint8] = disc.astype(np.uint8) + (disc & cup).astype(np.uint8)
    return labels


def encode_mask(mask: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return the authors' grey mask: 0 cup, 128 rim, 255 background.

    Arguments, errors and the fate of cup pixels outside the disc as in :func:`label_map`.

    Example:
        >>> encode_mask(np.array([[[0, 1, 1, 0]], [[0, 0, 1, 1]]]))
        array([[255, 128,   0, 255]], dtype=uint8)
    """
    greys = np.array([BACKGROUND_GREY, RIM_GREY, CUP_GREY], dtype=np.uint8)
    return greys[label_map(mask)]


def split_grey(grey: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return the 2xHxW mask (disc including the cup, cup) of an HxW grey mask.

    Example:
        >>> split_grey(np.array([[255, 128, 0]])).astype(int).tolist()
        [[[0, 1, 1]], [[0, 0, 1]]]
    """
    return np.stack([grey < BACKGROUND_GREY, grey == CUP_GREY])


def largest_part(region: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the largest connected part of a region (8 neighbors); an empty one stays empty."""
    labels = label_components(region)
    if not labels.any():
        return np.zeros(region.shape, dtype=bool)
    part: npt.NDArray[np.bool_] = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
    return part


def disc_center(grey: npt.NDArray[Any]) -> tuple[float, float]:
    """Return (row, column) of the centroid of the disc's largest connected part.

    Args:
        grey: HxW or 1xHxW grey mask; everything below 255 is disc.

    Raises:
        ValueError: If the mask has another shape or no disc.

    Example:
        >>> grey = np.full((5, 6), 255)
        >>> grey[1:4, 2:5] = 128
        >>> disc_center(grey)
        (2.0, 3.0)
    """
    array = np.asarray(grey)
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2:
        raise ValueError(
            f"A grey mask must have the shape (height, width) or (1, height, width). "
            f"Got {array.shape}."
        )
    rows, columns = np.nonzero(largest_part(array < BACKGROUND_GREY))
    if not rows.size:
        raise ValueError("The mask has no disc: every pixel is background (255).")
    return float(rows.mean()), float(columns.mean())
