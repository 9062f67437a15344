# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Read photographs and masks from files, whatever their pixel format.

Pixels are taken as stored: an EXIF orientation is not followed (neither do the authors nor MONAI),
so that masks and predictions line up with the stored rows and columns; the log warns of it.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.meta_obj import get_track_meta
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform
from PIL import Image
from torch import Tensor

from grata_monai._checks import check_choice

logger = logging.getLogger(__name__)

_ORIENTATION_TAG = 0x0112
_UNREADABLE = (
    OSError,
    SyntaxError,  # PIL, for a broken PNG
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def read_photograph(path: str | os.PathLike[str]) -> Image.Image:
    """Read a photograph as 8-bit RGB.

    Grey, palette and CMYK images are converted, transparency is dropped, 16-bit grey levels are
    scaled to 8 bits (65535 becomes 255).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not an image that can be read; the message names it.
    """
    return _read(path, "photograph", _to_rgb)


def read_mask(path: str | os.PathLike[str]) -> Image.Image:
    """Read a mask as 8-bit grey.

    A color image must have three equal channels. 16-bit grey levels are scaled to 8 bits unless all
    of them are within 0..255 already.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a grey image that can be read; the message names it.
    """
    return _read(path, "mask", _to_grey)


_READERS = {"photograph": read_photograph, "mask": read_mask}


class LoadFundusd(MapTransform):
    """Load photographs or masks, channel first with height before width, as 8-bit integers.

    An entry that is not a path counts as loaded and is left as it is.

    Args:
        keys: Entries with the paths.
        kind: "photograph" (3 channels) or "mask" (1 channel).
        same_size_as: Key of a loaded entry which the loaded ones must equal in height and width.
        allow_missing_keys: Whether an item may lack some of the keys.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file cannot be read or the sizes differ; the message names the files.
    """

    def __init__(
        self,
        keys: Hashable | Iterable[Hashable],
        *,
        kind: str = "photograph",
        same_size_as: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        check_choice("LoadFundusd", "kind", kind, _READERS)
        super().__init__(keys, allow_missing_keys)
        self.kind = kind
        self.same_size_as = same_size_as

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        """Return the item with the files loaded."""
        item: dict[Hashable, Any] = dict(data)
        for key in self.key_iterator(item):
            value = item[key]
            if isinstance(value, (str, os.PathLike)):
                item[key] = _load(value, self.kind)
            if self.same_size_as is not None:
                _check_same_size(item, key, self.same_size_as)
        return item


def _load(path: str | os.PathLike[str], kind: str) -> Tensor:
    """Return the file as a CxHxW tensor with MONAI's metadata."""
    array = np.array(_READERS[kind](path))
    array = array[None] if array.ndim == 2 else np.ascontiguousarray(np.moveaxis(array, -1, 0))
    image = torch.from_numpy(array)
    if not get_track_meta():
        return image
    meta = {
        "filename_or_obj": os.fspath(path),
        "spatial_shape": np.asarray(array.shape[1:]),
        "original_channel_dim": 0,
    }
    tensor: Tensor = MetaTensor(image, meta=meta)
    return tensor


def _read(
    path: str | os.PathLike[str], kind: str, convert: Callable[[Image.Image], Image.Image]
) -> Image.Image:
    """Open and convert a file, with one form of message for all that can go wrong."""
    if not Path(path).exists():
        raise FileNotFoundError(f"The {kind} {os.fspath(path)} does not exist.")
    try:
        with Image.open(path) as image:
            if kind == "photograph" and _orientation(image) != 1:
                logger.warning(
                    "%s has an EXIF orientation, which is not followed: rows and columns are as "
                    "stored. Rotate the file's pixels if masks were drawn on the rotated image.",
                    os.fspath(path),
                )
            return convert(image)
    except _UNREADABLE as error:
        raise ValueError(f"Cannot read the {kind} {os.fspath(path)}: {error}") from error


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) if there is none that can be read."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except (*_UNREADABLE, TypeError):
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    return _to_eight_bits(image, keep_small=False).convert("RGB")


def _to_grey(image: Image.Image) -> Image.Image:
    image = _to_eight_bits(image, keep_small=True)
    if image.mode in {"L", "1"}:
        return image.convert("L")
    red, green, blue = image.convert("RGB").split()
    if not red.tobytes() == green.tobytes() == blue.tobytes():
        raise ValueError("it has colors; a mask must be grey (0 cup, 1..254 rim, 255 background)")
    return red


def _to_eight_bits(image: Image.Image, *, keep_small: bool) -> Image.Image:
    """Scale 16-bit grey levels to 8 bits; ``keep_small`` spares levels that fit as they are."""
    if image.mode == "F":
        raise ValueError("its floating-point levels have no fixed range; save it with 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError(f"its levels {levels.min()}..{levels.max()} are neither 8 nor 16 bits")
    if not keep_small or levels.max() > 255:
        levels = (levels + 128) // 257
    return Image.fromarray(levels.astype(np.uint8))


def _check_same_size(item: Mapping[Hashable, object], key: Hashable, other: str) -> None:
    """Check that two loaded entries have the same height and width."""
    first, second = item[key], item.get(other)
    if not (hasattr(first, "shape") and hasattr(second, "shape")):
        return
    size, other_size = tuple(first.shape[-2:]), tuple(second.shape[-2:])
    if size != other_size:
        name = getattr(first, "meta", {}).get("filename_or_obj", f"{key!r}")
        other_name = getattr(second, "meta", {}).get("filename_or_obj", f"{other!r}")
        raise ValueError(
            f"{name} has {size[0]} rows and {size[1]} columns, but {other_name} has "
            f"{other_size[0]} rows and {other_size[1]} columns; they must agree."
        )
