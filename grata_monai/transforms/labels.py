# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Grey masks of disc and cup: decoding, encoding, label maps and the disc's center.

Grey masks hold 0 = cup, 1..254 = rim (disc without cup), 255 = background. Decoded, channel 0 is
the disc including the cup and channel 1 the cup.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms.transform import MapTransform, Transform
from monai.utils.type_conversion import convert_to_numpy
from skimage.measure import label as label_components
from skimage.measure import regionprops
from torch import Tensor

from grata_monai.transforms._tracking import ImageArray, as_tensor, plain, with_metadata_of

CUP_GREY, RIM_GREY, BACKGROUND_GREY = 0, 128, 255


def label_map(mask: ImageArray) -> npt.NDArray[np.uint8]:
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
    array = np.asarray(convert_to_numpy(mask))
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


def encode_fundus_label(mask: ImageArray) -> npt.NDArray[np.uint8]:
    """Return the authors' grey mask: 0 cup, 128 rim, 255 background.

    Arguments, errors and the fate of cup pixels outside the disc as in :func:`label_map`.

    Example:
        >>> encode_fundus_label(np.array([[[0, 1, 1, 0]], [[0, 0, 1, 1]]]))
        array([[255, 128,   0, 255]], dtype=uint8)
    """
    greys = np.array([BACKGROUND_GREY, RIM_GREY, CUP_GREY], dtype=np.uint8)
    return greys[label_map(mask)]


def disc_center(mask: ImageArray) -> tuple[float, float]:
    """Return (row, column) of the centroid of the disc's largest connected part.

    Args:
        mask: HxW or 1xHxW grey mask; everything below 255 is disc.

    Raises:
        ValueError: If the mask has another shape or no disc.

    Example:
        >>> grey = np.full((5, 6), 255)
        >>> grey[1:4, 2:5] = 128
        >>> disc_center(grey)
        (2.0, 3.0)
    """
    array = np.asarray(convert_to_numpy(mask))
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2:
        raise ValueError(
            f"A grey mask must have the shape (height, width) or (1, height, width). "
            f"Got {array.shape}."
        )
    regions = regionprops(label_components(array < BACKGROUND_GREY))
    if not regions:
        raise ValueError("The mask has no disc: every pixel is background (255).")
    row, column = max(regions, key=lambda region: region.area).centroid
    return float(row), float(column)


class DecodeFundusLabel(Transform):
    """Turn a grey mask into two overlapping channels: disc (including the cup) and cup.

    A mask without a disc (255 everywhere) gives two empty channels.

    Shape:
        Input 1xHxW (or 3xHxW with equal channels), whole numbers 0..255; output 2xHxW float32.

    Raises:
        ValueError: If the mask has other channels, or values that are no grey mask.

    Example:
        >>> DecodeFundusLabel()(torch.tensor([[[255, 128, 0]]])).as_tensor()
        tensor([[[0., 1., 1.]],
        <BLANKLINE>
                [[0., 0., 1.]]])
    """

    def __call__(self, img: ImageArray) -> Tensor:
        """Return the two channels."""
        label = as_tensor(img)
        grey = plain(label)
        _check_grey(grey, str(getattr(label, "meta", {}).get("filename_or_obj", "The mask")))
        grey = grey[:1]
        channels = torch.cat([grey < BACKGROUND_GREY, grey == CUP_GREY]).float()
        return with_metadata_of(label, channels)


class DecodeFundusLabeld(MapTransform):
    """Dictionary form of :class:`DecodeFundusLabel`.

    Args:
        keys: Entries to decode.
        allow_missing_keys: Whether an item may lack some of the keys.
    """

    def __init__(
        self, keys: Hashable | Iterable[Hashable], *, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.decoder = DecodeFundusLabel()

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        """Return the item with the keys decoded."""
        item: dict[Hashable, Any] = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.decoder(item[key])
        return item


def _check_grey(grey: Tensor, name: str) -> None:
    """Say what is wrong with a mask that is not one of cup, rim and background."""
    if grey.ndim != 3 or grey.shape[0] not in {1, 3} or not bool((grey == grey[:1]).all()):
        raise ValueError(
            f"{name}: a grey mask must have the shape (1, height, width), or three equal channels. "
            f"Got {tuple(grey.shape)}."
        )
    low, high = grey.min().item(), grey.max().item()
    whole = not grey.is_floating_point() or bool((grey == grey.floor()).all())
    if not whole or low < 0 or high > BACKGROUND_GREY:
        raise ValueError(
            f"{name}: a grey mask must hold whole numbers 0..255. Got values from {low:g} to "
            f"{high:g}; decode the mask before anything rescales or interpolates it."
        )
    if high <= 2:
        raise ValueError(
            f"{name}: values from {low:g} to {high:g} look like labels 0/1/2, not like grey levels "
            "(0 cup, 1..254 rim, 255 background), which would make all of it disc."
        )
