# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Read ophthalmic photographs from DICOM files (``pip install 'grata-monai[dicom]'``)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from grata_monai._files import require_regular_file
from grata_monai.imaging._limits import check_pixels

if TYPE_CHECKING:
    from pydicom import Dataset

DICOM_SUFFIXES = (".dcm", ".dicom")
_MAGIC_AT, _MAGIC = 128, b"DICM"
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_HEADER = 2**12


def is_dicom(source: Path | bytes) -> bool:
    """Tell by its first bytes whether a file (or its content) is DICOM."""
    if isinstance(source, bytes):
        head = source[: _MAGIC_AT + len(_MAGIC)]
    elif source.suffix.lower() in DICOM_SUFFIXES:
        require_regular_file(source)
        with source.open("rb") as file:
            head = file.read(_MAGIC_AT + len(_MAGIC))
    else:
        return False
    return head[_MAGIC_AT:] == _MAGIC


def read_dicom(source: Path | bytes) -> Image.Image:
    """Return the one frame of a DICOM photograph as RGB or grey, 8 bits per channel.

    Grey levels of more bits are scaled by the file's own "Bits Stored". Lossy JPEG frames are
    decoded, color spaces converted to RGB.

    Raises:
        ValueError: If pydicom is not installed, or the file holds several frames, no pixels or
            pixels that cannot be decoded.
    """
    try:
        import pydicom
    except ImportError as error:
        raise ValueError(
            "it is a DICOM file, which needs pydicom; pip install 'grata-monai[dicom]'"
        ) from error
    # from memory: of an open file, pydicom would allocate whatever length a broken element claims
    data = source if isinstance(source, bytes) else source.read_bytes()
    if _DEFLATED in data[:_HEADER]:  # pydicom would inflate it to any size
        raise ValueError("it is deflated as a whole; export it uncompressed, or as JPEG")
    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        frames = int(dataset.get("NumberOfFrames") or 1)
        if frames != 1:
            raise ValueError(f"it holds {frames} frames; export the one photograph wanted")
        check_pixels(int(dataset.get("Columns") or 0), int(dataset.get("Rows") or 0))
        array = _pixels(dataset)
        bits = int(dataset.get("BitsStored") or 8)
        inverted = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    except (OSError, ValueError):
        raise
    except Exception as error:  # pydicom lets all sorts of errors through on broken files
        raise ValueError(f"it is not a DICOM image that pydicom can decode ({error})") from error
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if bits > 8:
        array = (array.astype(np.int64) * 255 + (1 << (bits - 1))) // ((1 << bits) - 1)
    array = np.clip(array, 0, 255).astype(np.uint8)
    return Image.fromarray(255 - array if inverted else array)


def _pixels(dataset: Dataset) -> np.ndarray:
    """Return the decoded pixels, colors as RGB."""
    try:
        from pydicom.pixels import pixel_array
    except ImportError:  # pydicom 2.4, which leaves the color space to us
        from pydicom.pixel_data_handlers.util import convert_color_space

        array = np.asarray(dataset.pixel_array)
        space = str(dataset.PhotometricInterpretation)  # decoding may have changed it
        return convert_color_space(array, space, "RGB") if space.startswith("YBR") else array
    return np.asarray(pixel_array(dataset))
