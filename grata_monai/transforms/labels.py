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
from torch import Tensor

from grata_monai import imaging
from grata_monai.imaging import BACKGROUND_GREY, CUP_GREY
from grata_monai.transforms._tracking import ImageArray, as_tensor, plain, with_metadata_of


def label_map(mask: ImageArray) -> npt.NDArray[np.uint8]:
    """Return one label per pixel: 0 background, 1 rim, 2 cup.

    The same as :func:`grata_monai.imaging.label_map`, also for tensors on any device.
    """
    return imaging.label_map(convert_to_numpy(mask))


def encode_fundus_label(mask: ImageArray) -> npt.NDArray[np.uint8]:
    """Return the authors' grey mask: 0 cup, 128 rim, 255 background.

    The same as :func:`grata_monai.imaging.encode_mask`, also for tensors on any device.
    """
    return imaging.encode_mask(convert_to_numpy(mask))


def disc_center(mask: ImageArray) -> tuple[float, float]:
    """Return (row, column) of the centroid of the disc's largest connected part.

    The same as :func:`grata_monai.imaging.disc_center`, also for tensors on any device.
    """
    return imaging.disc_center(convert_to_numpy(mask))


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
