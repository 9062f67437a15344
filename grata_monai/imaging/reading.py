# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Read photographs and masks, whatever their pixel format, from files or from memory.

Pixels are taken as stored: an EXIF orientation is not followed (neither do the authors nor MONAI),
so that masks and predictions line up with the stored rows and columns; the log warns of it.
"""

from __future__ import annotations

import io
import logging
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from grata_monai._files import require_regular_file
from grata_monai._messages import one_line
from grata_monai.imaging._limits import check_pixels
from grata_monai.imaging.dicom import is_dicom, read_dicom

logger = logging.getLogger(__name__)

_ORIENTATION_TAG = 0x0112
_TURNED_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
UNREADABLE = (
    OSError,
    SyntaxError,  # PIL, for a broken PNG
    ValueError,
    EOFError,
    MemoryError,  # a broken length, for which PIL asks for memory before it reads
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    NotImplementedError,  # PIL, for a rare kind of a known format
)
"""What PIL raises for files that are no image or a broken one."""


IMAGE_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")
"""Formats that are read, whatever a file is called; others could start other programs."""


@dataclass(frozen=True)
class ImageSource:
    """An image file that is in memory, as one out of an archive.

    Args:
        name: What messages call it.
        data: The bytes of the file.
    """

    name: str
    data: bytes


Readable: TypeAlias = str | os.PathLike[str] | ImageSource
_Result = TypeVar("_Result")


def read_photograph(source: Readable, *, follow_exif: bool | None = None) -> Image.Image:
    """Read a photograph as 8-bit RGB.

    Grey, palette and CMYK images are converted, transparency is dropped, 16-bit grey levels are
    scaled to 8 bits (65535 becomes 255). DICOM files need ``pip install 'grata-monai[dicom]'``.

    Args:
        source: Path, or a file in memory.
        follow_exif: Whether to turn the photograph as its EXIF orientation says; None takes the
            pixels as stored and logs a warning, as it does of a TIFF file with several pages.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not an image that can be read; the message names it.
    """

    def convert(image: Image.Image) -> Image.Image:
        if follow_exif is None:
            _warn(image, one_line(_name(source)))
        return _to_rgb(ImageOps.exif_transpose(image) if follow_exif else image)

    return _read(source, "photograph", convert)


def read_mask(source: Readable) -> Image.Image:
    """Read a mask as 8-bit grey.

    A color image must have three equal channels. 16-bit grey levels are scaled to 8 bits unless all
    of them are within 0..255 already.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a grey image that can be read; the message names it.
    """
    return _read(source, "mask", _to_grey)


def read_levels(source: Readable) -> npt.NDArray[Any]:
    """Read the levels of a mask as they are stored, whatever they mean.

    Palette images give their greys if all of them are grey, and their indices if not; one-bit
    images 0 and 255; images with equal color channels the first; 16-bit images whose levels are
    those of 8 bits times 257 these.

    Returns:
        HxW unsigned 8-bit, or 64-bit integers where the file has more bits.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not such an image; the message names it.
    """
    return _read(source, "mask", _levels)


def turn_back(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Return pixels of a photograph that was turned by its EXIF orientation as they are stored.

    Args:
        pixels: HxW or HxWxC of the turned photograph.
        orientation: The EXIF orientation, 1 to 8.
    """
    if orientation not in _TURNED_BACK:
        return pixels
    return np.asarray(Image.fromarray(pixels).transpose(_TURNED_BACK[orientation]))


def probe(source: Readable) -> tuple[tuple[int, int], str]:
    """Return an image's (width, height) and PIL mode, without decoding it where that is possible.

    Raises:
        OSError: If the file is no image (as all of PIL's own errors, see ``UNREADABLE``).
    """
    data = source.data if isinstance(source, ImageSource) else Path(source)
    image = read_dicom(data) if is_dicom(data) else open_image(source)
    with image:
        return image.size, image.mode


def open_image(source: Readable) -> Image.Image:
    """Open an image of a known format and a size that a photograph has; its pixels come later.

    Raises:
        OSError: If the file is no image (as all of PIL's own errors, see ``UNREADABLE``).
        ValueError: If it has too many pixels.
    """
    if not isinstance(source, ImageSource):
        require_regular_file(source)
    file = io.BytesIO(source.data) if isinstance(source, ImageSource) else source
    image = Image.open(file, formats=IMAGE_FORMATS)
    try:
        check_pixels(*image.size)
    except ValueError:
        image.close()
        raise
    return image


def exif_orientation(source: Readable) -> int:
    """Return the EXIF orientation of an image, 1 (upright) if there is none that can be read."""
    try:
        with open_image(source) as image:
            return _orientation(image)
    except UNREADABLE:
        return 1


def _name(source: Readable) -> str:
    return source.name if isinstance(source, ImageSource) else os.fspath(source)


def _read(source: Readable, kind: str, convert: Callable[[Image.Image], _Result]) -> _Result:
    """Open and convert a file, with one form of message for all that can go wrong."""
    name = _name(source)
    data = source.data if isinstance(source, ImageSource) else Path(name)
    if isinstance(data, Path) and not data.exists():
        raise FileNotFoundError(f"The {kind} {name} does not exist.")
    try:
        if is_dicom(data):
            return convert(read_dicom(data))
        with open_image(source) as image:
            image.load()  # a second try, after an error that was caught, gives half a picture
            return convert(image)
    except UNREADABLE as error:
        raise ValueError(f"Cannot read the {kind} {name}: {error}") from error


def _warn(image: Image.Image, name: str) -> None:
    """Log what a photograph's file holds beyond the pixels that are taken."""
    if _orientation(image) != 1:
        logger.warning(
            "%s has an EXIF orientation, which is not followed: rows and columns are as "
            "stored. Rotate the file's pixels if masks were drawn on the rotated image.",
            name,
        )
    if image.format == "TIFF" and getattr(image, "is_animated", False):
        logger.warning("%s has several pages, of which the first is read.", name)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) if there is none that can be read."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except (*UNREADABLE, TypeError):
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


def _levels(image: Image.Image) -> npt.NDArray[Any]:
    if image.mode == "P":
        colors = np.asarray(image.convert("RGB"))
        is_grey = bool((colors == colors[..., :1]).all())
        return colors[..., 0] if is_grey and colors.max() > 2 else np.asarray(image)
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        widened = deep.max() > 255 and not (deep % 257).any()
        return (deep // 257).astype(np.uint8) if widened and deep.max() <= 65535 else deep
    return np.asarray(_to_grey(image))


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
