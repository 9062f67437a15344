# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""From volumes of one slice, as viewers for radiology save them, to label maps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

LabelMap = npt.NDArray[np.uint8]
RIM, CUP = 1, 2
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def plain_labels(levels: npt.NDArray[Any]) -> LabelMap:
    """Return levels as labels.

    Raises:
        ValueError: If there are others than 0 (background), 1 (rim) and 2 (cup).
    """
    array = np.asarray(levels)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"its pixels are of the type {array.dtype}, not numbers")
    labels = array.astype(np.uint8, copy=True) if array.dtype.kind != "f" else _rounded(array)
    if not array.size or not np.array_equal(labels, array) or labels.max() > CUP:
        raise ValueError(
            f"it holds {some_levels(array)}, but a label map has only 0 (background), 1 (rim) and "
            "2 (cup)"
        )
    return labels


def some_levels(levels: npt.NDArray[Any]) -> str:
    """Return the levels of an array for a message."""
    found = np.unique(levels)
    shown = ", ".join(f"{level:g}" for level in found[:6])
    return f"the levels {shown}{', ...' if found.size > 6 else ''}" if found.size else "no pixels"


def slice_of(volume: npt.NDArray[Any], directions: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the one slice of a volume as the rows and columns of a photograph.

    ITK and 3D Slicer see a photograph's columns run to the left and its rows to the back (LPS).

    Args:
        volume: IxJxK, or IxJxKxLAYERS.
        directions: 3x3; its columns say where the axes point in right, anterior, superior (RAS).
            If they span no space, the axes are taken to be columns, rows, slice.

    Returns:
        HxW, or HxWxLAYERS.

    Raises:
        ValueError: If the volume has several slices.
    """
    matrix = np.asarray(directions, dtype=float)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
        matrix = _LPS_TO_RAS
    affine = np.eye(4)
    affine[:3, :3] = matrix
    orientation = nibabel.orientations
    turn = orientation.ornt_transform(
        orientation.io_orientation(affine), orientation.axcodes2ornt("LPS")
    )
    turned = orientation.apply_orientation(volume, turn)
    if turned.shape[2] != 1:
        raise ValueError(
            f"its size is {' x '.join(map(str, volume.shape[:3]))}, but a photograph has one axial "
            "slice"
        )
    return np.asarray(turned[:, :, 0].swapaxes(0, 1))


def lps_to_ras(directions: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return directions in right, anterior, superior of those in left, posterior, superior."""
    turned: npt.NDArray[np.float64] = _LPS_TO_RAS @ np.asarray(directions, dtype=float)
    return turned


def join_layers(layers: npt.NDArray[Any]) -> LabelMap:
    """Return the label map of one mask per segment: disc, cup.

    Args:
        layers: HxWxLAYERS of zeros and ones.

    Raises:
        ValueError: If there are other values, or a third mask that is not empty.
    """
    if not ((layers == 0) | (layers == 1)).all():
        raise ValueError(f"its masks hold {some_levels(layers)}, not 0 and 1")
    masks = [layers[..., index] == 1 for index in range(layers.shape[-1])]
    return join_segments([(f"number {index + 1}", mask) for index, mask in enumerate(masks)])


def join_segments(segments: Sequence[tuple[str, npt.NDArray[np.bool_]]]) -> LabelMap:
    """Return the label map of named masks.

    Names with "disc", "disk" or "rim" stand for the disc, which may or may not include the cup;
    names with "cup" for the cup. If no name says it, the first one is the disc, the second the cup.
    The cup counts as a part of the disc also where the disc was cut out around it.

    Raises:
        ValueError: If a segment that is not empty is none of them.
    """
    roles = [_role(name) for name, _ in segments]
    if not any(roles):
        roles = [*(RIM, CUP)[: len(segments)], *[0] * (len(segments) - 2)]
    labels = np.zeros(segments[0][1].shape, dtype=np.uint8)
    for (name, mask), role in zip(segments, roles, strict=True):
        if not role and mask.any():
            raise ValueError(
                f"the segment {name!r} is neither disc, cup nor rim; rename it, or delete it if "
                "it is none of them"
            )
        labels[mask] = np.maximum(labels[mask], role)
    return labels


def _role(name: str) -> int:
    """Return the label that a segment's name stands for, 0 if none."""
    lowered = name.lower()
    if "rim" in re.findall("[a-z]+", lowered):
        return RIM
    found = re.search("cup|disc|disk", lowered)  # the first one, as in "disc without cup"
    if found is None:
        return 0
    return CUP if found[0] == "cup" else RIM


def _rounded(array: npt.NDArray[Any]) -> LabelMap:
    labels: LabelMap = np.clip(np.nan_to_num(np.rint(array)), 0, 255).astype(np.uint8)
    return labels
