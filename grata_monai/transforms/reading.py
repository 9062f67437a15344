# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Load photographs and masks into MONAI's dictionaries; see :mod:`grata_monai.imaging`."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data.meta_obj import get_track_meta
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform
from torch import Tensor

from grata_monai._checks import check_choice
from grata_monai.imaging import read_mask, read_photograph

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
