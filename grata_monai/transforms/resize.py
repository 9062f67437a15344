# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Resize images and masks exactly as PIL does, and predictions back again."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms.inverse import InvertibleTransform
from monai.transforms.transform import MapTransform
from monai.transforms.utils import scale_affine
from monai.utils.misc import ensure_tuple_rep
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from grata_monai._checks import check_choice, check_number
from grata_monai.transforms._tracking import (
    ImageArray,
    as_tensor,
    plain,
    recall,
    record,
    restore,
)

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "nearest": Image.Resampling.NEAREST}
_INVERSE_MODES = {"bicubic": "bilinear", "nearest": "nearest"}


def resize_like_pil(image: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Return an image of another size, computed by PIL on the CPU.

    Channels with whole numbers 0..255 go through PIL as 8-bit grey, which gives the bits of PIL's
    RGB; floating-point images within [0, 1] never count as such. All others go through PIL's 32-bit
    float mode.

    Args:
        image: CxHxW.
        size: (height, width) of the result.
        mode: "bicubic" (antialiased, as PIL's default) or "nearest".

    Returns:
        CxHxW of the input's dtype and device; other integers than 8-bit ones become float32 when
        they are interpolated.
    """
    array = image.detach().cpu().numpy()
    eight_bit = _is_eight_bit(array)
    pixels = array.astype(np.uint8 if eight_bit else np.float32)
    channels = [Image.fromarray(channel).resize(size[::-1], _FILTERS[mode]) for channel in pixels]
    resized = np.stack([np.asarray(channel) for channel in channels])
    keeps_dtype = eight_bit or mode == "nearest" or image.is_floating_point()
    return torch.from_numpy(resized).to(image.device, image.dtype if keeps_dtype else None)


def resize_prediction(image: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Return probabilities ("bilinear") or masks ("nearest") of another size, on their device.

    Integers and booleans are always taken as masks.
    """
    if mode == "nearest" or not image.is_floating_point():
        rows = _nearest_indices(image.shape[1], size[0], image.device)
        columns = _nearest_indices(image.shape[2], size[1], image.device)
        return image[:, rows][:, :, columns]
    return interpolate(image[None], size, mode="bilinear", align_corners=False)[0]


class ResizeFundus(InvertibleTransform):
    """Resize an image exactly as PIL does; if it has the size already, it keeps its bits.

    The inverse is meant for predictions: it goes back to the former size bilinearly for
    probabilities ("bicubic") and by the nearest pixel for masks ("nearest", or whenever
    ``Invertd`` is left at ``nearest_interp=True``).

    Args:
        size: Height and width, or one number for both; 512 as in the paper, §4.
        mode: "bicubic" for images, "nearest" for masks, as in the authors' code. PIL's nearest is
            torch's "nearest-exact"; torch's "nearest" would take other pixels.
    """

    def __init__(self, *, size: int | Sequence[int] = 512, mode: str = "bicubic") -> None:
        check_choice("ResizeFundus", "mode", mode, _FILTERS)
        for side in ensure_tuple_rep(size, 2):
            check_number("ResizeFundus", "size", side, minimum=1, integer=True)
        self.size = size
        self.mode = mode

    def __call__(self, img: ImageArray, mode: str | None = None) -> Tensor:
        """Return the image in the new size.

        Args:
            img: CxHxW, any number of channels.
            mode: Instead of the constructor's.
        """
        image = as_tensor(img)
        height, width = ensure_tuple_rep(self.size, 2)
        mode = self.mode if mode is None else mode
        if tuple(image.shape[1:]) == (height, width):
            resized = plain(image).clone()
        else:
            resized = resize_like_pil(plain(image), (height, width), mode)
        return record(
            self,
            image,
            resized,
            affine=scale_affine(tuple(image.shape[1:]), (height, width)),
            info={"mode": _INVERSE_MODES[mode]},
        )

    def inverse(self, data: ImageArray) -> Tensor:
        """Return a prediction in the size that the image had."""
        image, (height, width), info = recall(self, data)
        if tuple(image.shape[1:]) == (height, width):
            resized = plain(image).clone()
        else:
            resized = resize_prediction(plain(image), (height, width), info["mode"])
        return restore(self, image, resized, info)


class ResizeFundusd(MapTransform, InvertibleTransform):
    """Dictionary form of :class:`ResizeFundus`.

    Args:
        keys: Entries to resize.
        size: Height and width, or one number for both.
        mode: "bicubic" or "nearest", one or one per key.
        allow_missing_keys: Whether an item may lack some of the keys.

    Example:
        >>> item = {"image": torch.zeros(3, 8, 6), "label": torch.zeros(1, 8, 6)}
        >>> resize = ResizeFundusd(("image", "label"), size=4, mode=("bicubic", "nearest"))
        >>> tuple(resize(item)["label"].shape), tuple(resize.inverse(resize(item))["image"].shape)
        ((1, 4, 4), (3, 8, 6))
    """

    def __init__(
        self,
        keys: Hashable | Iterable[Hashable],
        *,
        size: int | Sequence[int] = 512,
        mode: str | Sequence[str] = "bicubic",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.size = size
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        for one in self.mode:
            check_choice("ResizeFundusd", "mode", one, _FILTERS)
        self.resizer = ResizeFundus(size=size)

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        """Return the item with the keys resized."""
        item: dict[Hashable, Any] = dict(data)
        for key, mode in self.key_iterator(item, self.mode):
            item[key] = self.resizer(item[key], mode)
        return item

    def inverse(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        """Return the item with the keys in their former sizes."""
        item: dict[Hashable, Any] = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.resizer.inverse(item[key])
        return item


def _is_eight_bit(array: npt.NDArray[Any]) -> bool:
    """Return whether all values are whole numbers 0..255, not just an image within [0, 1]."""
    if array.dtype == np.uint8 or array.dtype == np.bool_:
        return True
    if array.size == 0 or array.min() < 0 or array.max() > 255:
        return False
    if np.issubdtype(array.dtype, np.integer):
        return True
    return bool(array.max() > 1 and (array == np.floor(array)).all())


def _nearest_indices(before: int, after: int, device: torch.device) -> Tensor:
    """Return for every new pixel the old one whose area holds its center."""
    return (2 * torch.arange(after, device=device) + 1) * before // (2 * after)
