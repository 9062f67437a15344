# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""MONAI's bookkeeping of invertible transforms, without changing what the caller holds."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from monai.data.meta_obj import get_track_meta
from monai.data.meta_tensor import MetaTensor
from monai.transforms.inverse import InvertibleTransform
from monai.utils.type_conversion import convert_to_tensor
from torch import Tensor

ImageArray: TypeAlias = npt.NDArray[Any] | Tensor
"""An image, channel first: an array, a tensor or MONAI's tensor with metadata."""

Affine: TypeAlias = npt.NDArray[np.float64]
"""A 3x3 matrix from (row, column, 1) after a transform to the same before it."""


def as_tensor(image: ImageArray) -> Tensor:
    """Return the image as a tensor, with metadata unless MONAI's tracking is off."""
    tensor: Tensor = convert_to_tensor(image, track_meta=get_track_meta())
    return tensor


def plain(image: Tensor) -> Tensor:
    """Return the image without metadata (the same memory)."""
    return image.as_subclass(Tensor)


def with_metadata_of(source: Tensor, result: Tensor) -> Tensor:
    """Return ``result`` with a copy of the metadata of ``source``, if that has any."""
    if not isinstance(source, MetaTensor):
        return result
    tensor: Tensor = MetaTensor(plain(result)).copy_meta_from(source)
    return tensor


def record(
    transform: InvertibleTransform,
    source: Tensor,
    result: Tensor,
    *,
    affine: Affine,
    info: dict[str, object] | None = None,
) -> Tensor:
    """Return ``result`` with the metadata of ``source`` and the transform on its stack."""
    tensor: Tensor = transform.push_transform(
        with_metadata_of(source, result),
        orig_size=tuple(source.shape[1:]),
        extra_info={**(info or {}), "index_affine": affine.tolist()},
        affine=affine,
    )
    return tensor


def recall(
    transform: InvertibleTransform, image: ImageArray
) -> tuple[Tensor, tuple[int, ...], dict[str, Any]]:
    """Take the transform from the image's stack.

    Returns:
        The image with a shorter stack (the caller's keeps its own), the spatial size before the
        transform, and the information that was recorded.
    """
    given = as_tensor(image)
    tensor = with_metadata_of(given, given)
    entry = transform.pop_transform(tensor)
    return tensor, tuple(int(side) for side in entry["orig_size"]), dict(entry["extra_info"])


def restore(
    transform: InvertibleTransform, source: Tensor, result: Tensor, info: dict[str, Any]
) -> Tensor:
    """Return ``result`` with the metadata of ``source`` and the affine before the transform."""
    with transform.trace_transform(False):
        tensor: Tensor = transform.push_transform(
            with_metadata_of(source, result), affine=np.linalg.inv(np.array(info["index_affine"]))
        )
    return tensor
