# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Label maps of photographs in the files that viewers read and write."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from grata_monai.imaging import (
    BACKGROUND_GREY,
    CUP_GREY,
    RIM_GREY,
    label_map,
    read_levels,
    split_grey,
    write_png,
)
from grata_monai.label._label_volumes import (
    LabelMap,
    join_layers,
    plain_labels,
    slice_of,
    some_levels,
)
from grata_monai.label._nrrd_files import MOST_PIXELS, read_nrrd, write_segmentation, write_volume
from grata_monai.transforms.outputs import write_nifti_labels

LABEL_EXTENSIONS = (".png", ".nii.gz", ".nii", ".seg.nrrd", ".nrrd")
_GREYS = (CUP_GREY, RIM_GREY, BACKGROUND_GREY)
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    MemoryError,
    zlib.error,
    struct.error,
    ImageFileError,
    HeaderDataError,
)


def label_extension(path: str | os.PathLike[str]) -> str:
    """Return the extension of a label file, the longest one that fits, in lower case.

    Raises:
        ValueError: If it is none of ``LABEL_EXTENSIONS``.

    Example:
        >>> label_extension("eye.v2.SEG.NRRD")
        '.seg.nrrd'
    """
    name = os.fspath(path).lower()
    fitting = [extension for extension in LABEL_EXTENSIONS if name.endswith(extension)]
    if not fitting:
        raise ValueError(
            f"{os.fspath(path)} has no extension of a label file; use one of "
            f"{', '.join(LABEL_EXTENSIONS)}."
        )
    return max(fitting, key=len)


def write_label_file(labels: npt.NDArray[np.uint8], path: str | os.PathLike[str]) -> None:
    """Write a label map, all or not at all, in the format that the extension says.

    ``.png``: the labels as grey levels. ``.nii``, ``.nii.gz``, ``.nrrd``: one slice that lies on
    the photograph in ITK's viewers. ``.seg.nrrd``: a segmentation of 3D Slicer whose segments
    "optic disc" (cup included) and "optic cup" overlap.

    Args:
        labels: HxW: 0 background, 1 rim, 2 cup.
        path: File to write; missing folders are made.

    Raises:
        ValueError: If these are no labels, the extension is unknown, or pynrrd is not installed.
        OSError: If the file cannot be written.
    """
    target, extension = Path(path), label_extension(path)
    array = np.asarray(labels)
    if array.ndim != 2:
        raise ValueError(f"A label map must have the shape (rows, columns). Got {array.shape}.")
    try:
        checked = plain_labels(array)
    except ValueError as error:
        raise ValueError(f"The label map cannot be written to {target}: {error}.") from error
    if extension == ".png":
        write_png(checked, target)
    elif extension == ".seg.nrrd":
        write_segmentation(checked, target)
    elif extension == ".nrrd":
        write_volume(checked, target)
    else:
        write_nifti_labels(checked, target)


def read_label_file(path: str | os.PathLike[str]) -> LabelMap:
    """Read a label map of any format of ``LABEL_EXTENSIONS``.

    ``.png``: labels 0, 1, 2, or the published greys (0 cup, 128 rim, 255 background).
    ``.nii``, ``.nii.gz``, ``.nrrd``: one slice of labels, turned as its axes say, or masks of disc
    and cup along a fourth axis. ``.seg.nrrd``: see there of which names the segments may be; they
    may overlap or not, and lie in one layer or in several.

    Returns:
        HxW: 0 background, 1 rim, 2 cup, rows and columns as the photograph is stored.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a label map; the message names it.
    """
    target, extension = Path(path), label_extension(path)
    if not target.is_file():
        raise FileNotFoundError(f"The label file {target} does not exist.")
    levels = read_levels(target) if extension == ".png" else None
    try:
        if levels is not None:
            return _grey_labels(levels)
        return read_nrrd(target) if extension.endswith(".nrrd") else _read_nifti(target)
    except _UNREADABLE as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise ValueError(f"Cannot read the label file {target}: {reason}.") from error


def check_label_size(
    labels: npt.NDArray[np.uint8], size: tuple[int, int], name: str = "The label map"
) -> None:
    """Check that a label map has the size of its photograph.

    Args:
        labels: HxW.
        size: (rows, columns) of the photograph.
        name: What the message calls the label map.

    Raises:
        ValueError: If it has another size.
    """
    if labels.shape != tuple(size):
        hint = ""
        if labels.shape == tuple(size)[::-1]:
            hint = "; rows and columns are exchanged: was it drawn on a rotated photograph?"
        raise ValueError(
            f"{name} has the size {labels.shape}, but its photograph has {tuple(size)} (rows, "
            f"columns){hint or '; save it in the size of the photograph.'}"
        )


def _grey_labels(levels: npt.NDArray[Any]) -> LabelMap:
    found = set(np.unique(levels).tolist())
    if found == {0, 255}:
        raise ValueError(
            "it is black and white: it cannot be told whether white is the disc (a mask of one "
            "structure) or the background (the published greys); save a label map with 0 "
            "(background), 1 (rim) and 2 (cup)"
        )
    if found <= {0, 1, 2}:
        return plain_labels(levels)
    if found <= set(_GREYS):
        return label_map(split_grey(levels))
    raise ValueError(
        f"it holds {some_levels(levels)}, but a label map has 0 (background), 1 (rim) and 2 (cup), "
        "or the published greys 0 (cup), 128 (rim) and 255 (background)"
    )


def _read_nifti(path: Path) -> LabelMap:
    image = nibabel.load(path)
    if np.prod(np.asarray(image.shape, dtype=np.float64)) > MOST_PIXELS:
        raise ValueError(f"it has more than {MOST_PIXELS} pixels, which no label map has")
    data = np.asanyarray(image.dataobj)
    if data.ndim < 2:
        raise ValueError(f"it has {data.ndim} axes")
    space = (*data.shape[:3], 1)[:3]
    layers = slice_of(data.reshape(*space, -1), image.affine[:3, :3])
    return plain_labels(layers[..., 0]) if layers.shape[-1] == 1 else join_layers(layers)
