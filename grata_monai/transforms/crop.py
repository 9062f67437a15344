# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Cut the region around the optic disc out of a photograph, and paste a prediction back."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.transforms.inverse import InvertibleTransform
from monai.transforms.transform import MapTransform
from monai.utils.misc import ensure_tuple_rep
from torch import Tensor

from grata_monai._checks import check_number
from grata_monai.imaging import Window, overlap
from grata_monai.transforms._tracking import (
    ImageArray,
    as_tensor,
    plain,
    recall,
    record,
    restore,
)


def cut_window(
    image: Tensor, top: int, left: int, height: int, width: int, fill: float = 0
) -> Tensor:
    """Return a window of an image, filled where it lies outside.

    Pasting back is the same: the window of the full photograph, seen from the region.

    Args:
        image: CxHxW.
        top: First row of the window; may be negative.
        left: First column of the window; may be negative.
        height: Rows of the window.
        width: Columns of the window.
        fill: Value of pixels outside the image.

    Example:
        >>> import torch
        >>> cut_window(torch.tensor([[[1, 2], [3, 4]]]), -1, 0, 2, 3, fill=9)
        tensor([[[9, 9, 9],
                 [1, 2, 9]]])
    """
    window = image.new_full((image.shape[0], height, width), fill)
    rows, to_rows = overlap(top, height, image.shape[1])
    columns, to_columns = overlap(left, width, image.shape[2])
    window[:, to_rows, to_columns] = image[:, rows, columns]
    return window


class CropDiscRegion(InvertibleTransform):
    """Cut a square window around the optic disc, without rescaling.

    The window begins at ``round(center) - roi_size // 2`` and may reach over the border; pixels
    outside the photograph get the fill value. The inverse pastes the region into an array of the
    photograph's size that is 0 elsewhere; parts outside the photograph are dropped.

    Args:
        roi_size: Side of the window in pixels of the photograph; 800 as in the paper, §4.
        fill: Value outside the photograph: 0 for images, 255 (background) for grey masks.

    Raises:
        ValueError: If the center is not two finite numbers inside the photograph.
    """

    def __init__(self, *, roi_size: int = 800, fill: float = 0) -> None:
        check_number("CropDiscRegion", "roi_size", roi_size, minimum=1, integer=True)
        check_number("CropDiscRegion", "fill", fill)
        self.roi_size = roi_size
        self.fill = fill

    def __call__(
        self, img: ImageArray, center: Sequence[float] | None = None, fill: float | None = None
    ) -> Tensor:
        """Return the region.

        Args:
            img: CxHxW.
            center: (row, column) of the disc; None leaves the image whole (and can be inverted).
            fill: Instead of the constructor's.
        """
        image = as_tensor(img)
        size = tuple(image.shape[1:])
        place = Window(0, 0, *size)
        if center is not None:
            place = Window.around(_check_center(center, image), self.roi_size)
        top, left = place.top, place.left
        window = cut_window(
            plain(image), top, left, place.height, place.width, self.fill if fill is None else fill
        )
        affine = np.array([[1, 0, top], [0, 1, left], [0, 0, 1]], dtype=np.float64)
        return record(self, image, window, affine=affine, info={"top": top, "left": left})

    def inverse(self, data: ImageArray) -> Tensor:
        """Return the region pasted into an array of the photograph's size."""
        region, (height, width), info = recall(self, data)
        full = cut_window(plain(region), -info["top"], -info["left"], height, width)
        return restore(self, region, full, info)


class CropDiscRegiond(MapTransform, InvertibleTransform):
    """Dictionary form of :class:`CropDiscRegion`: one center for all keys.

    Args:
        keys: Entries to crop.
        center_key: Entry that holds the disc's (row, column).
        roi_size: Side of the window in pixels of the photograph.
        fill: Value outside the photograph, one or one per key.
        allow_missing_center: Whether an item without a center stays whole. Inverting still works.
        allow_missing_keys: Whether an item may lack some of the keys.

    Raises:
        KeyError: If the center is missing and that is not allowed.

    Example:
        >>> import torch
        >>> item = {"image": torch.ones(1, 6, 6), "disc_center": (0, 3)}
        >>> CropDiscRegiond("image", roi_size=2)(item)["image"].as_tensor()
        tensor([[[0., 0.],
                 [1., 1.]]])
    """

    def __init__(
        self,
        keys: Hashable | Iterable[Hashable],
        *,
        center_key: str = "disc_center",
        roi_size: int = 800,
        fill: float | Sequence[float] = 0,
        allow_missing_center: bool = True,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.center_key = center_key
        self.roi_size = roi_size
        self.fill = ensure_tuple_rep(fill, len(self.keys))
        self.allow_missing_center = allow_missing_center
        self.cropper = CropDiscRegion(roi_size=roi_size)

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        """Return the item with the keys cropped."""
        item: dict[Hashable, Any] = dict(data)
        center = item.get(self.center_key)
        if center is None and not self.allow_missing_center:
            raise KeyError(
                f"CropDiscRegiond needs the disc's (row, column) under {self.center_key!r}; "
                f"the item has {sorted(map(str, item))}."
            )
        for key, fill in self.key_iterator(item, self.fill):
            item[key] = self.cropper(item[key], center, fill)
        return item

    def inverse(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        """Return the item with the keys pasted back."""
        item: dict[Hashable, Any] = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.cropper.inverse(item[key])
        return item


def _check_center(center: Sequence[float], image: Tensor) -> tuple[float, float]:
    """Return (row, column) as numbers, or say what is wrong with them."""
    values = [float(value) for value in center]
    height, width = image.shape[1:]
    name = getattr(image, "meta", {}).get("filename_or_obj", "the photograph")
    if len(values) != 2 or not all(math.isfinite(value) for value in values):
        raise ValueError(
            f"The disc center of {name} must be two finite numbers (row, column). Got {values}."
        )
    row, column = values
    if not (-0.5 <= row <= height - 0.5 and -0.5 <= column <= width - 0.5):
        raise ValueError(
            f"The disc center (row {row:g}, column {column:g}) lies outside {name}, which has "
            f"{height} rows and {width} columns; are row and column exchanged?"
        )
    return row, column
