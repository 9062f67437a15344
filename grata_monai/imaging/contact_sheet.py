# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures side by side on one sheet, with titles above columns and captions below pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from grata_monai._files import atomic_path
from grata_monai.imaging.reading import read_photograph

HEADER = 26
CAPTION = 16
GAP = 4
_BROKEN = (128, 128, 128)

Picture: TypeAlias = str | os.PathLike[str] | npt.NDArray[np.uint8]
_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_contact_sheet(
    rows: Sequence[Sequence[Picture]],
    *,
    path: str | os.PathLike[str],
    titles: Sequence[str] | None = None,
    captions: Sequence[Sequence[str]] | None = None,
    tile: int = 256,
) -> None:
    """Write one PNG of many pictures.

    Pictures keep their proportions. A file that cannot be read becomes a grey tile that says so.

    Args:
        rows: Pictures, row by row: files, or HxWx3 (or HxW) arrays. All rows are as long as
            ``titles``, or as the first row if there are none; the last one may be shorter.
        path: PNG file to write.
        titles: What stands above each column, if anything.
        captions: What stands below each picture, in the form of ``rows``; shortened in the middle
            where it is too long.
        tile: Side of a picture in pixels.

    Raises:
        ValueError: If there are no rows, or one is of another length.
    """
    columns = len(titles) if titles is not None else len(rows[0]) if rows else 1
    _check_lengths(rows, columns, captions)
    header = HEADER if titles is not None else 0
    step = tile + GAP + (CAPTION if captions is not None else 0)
    size = (GAP + columns * (tile + GAP), header + GAP + len(rows) * step)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=16)
    for column, title in enumerate(titles or ()):
        draw.text((column * (tile + GAP) + GAP, 4), title, fill="black", font=font)
    small = ImageFont.load_default(size=11)
    for number, row in enumerate(rows):
        top = header + GAP + number * step
        for column, picture in enumerate(row):
            left = GAP + column * (tile + GAP)
            sheet.paste(_tile(picture, tile), (left, top))
            if captions is not None:
                text = _shortened(captions[number][column], tile, small)
                draw.text((left, top + tile + 1), text, fill="black", font=small)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def broken_tile(side: int, message: str) -> npt.NDArray[np.uint8]:
    """Return a grey picture with a message, to stand for one that cannot be shown."""
    picture = Image.new("RGB", (side, side), _BROKEN)
    font = ImageFont.load_default(size=11)
    text = _shortened(message, side - 2 * GAP, font)
    ImageDraw.Draw(picture).text((GAP, side // 2 - 6), text, fill="white", font=font)
    return np.asarray(picture)


def _check_lengths(
    rows: Sequence[Sequence[Picture]], columns: int, captions: Sequence[Sequence[str]] | None
) -> None:
    lengths = [len(row) for row in rows]
    full, last = lengths[:-1], lengths[-1:]
    if not rows or any(length != columns for length in full) or not 0 < last[0] <= columns:
        raise ValueError(f"A contact sheet needs rows of {columns} pictures; got {lengths}.")
    if captions is not None and [len(row) for row in captions] != lengths:
        raise ValueError(
            f"A contact sheet needs as many captions as pictures, {lengths} in its rows; got "
            f"{[len(row) for row in captions]}."
        )


def _tile(picture: Picture, side: int) -> Image.Image:
    """Return a picture that fills a square as far as its proportions let it, white elsewhere."""
    if isinstance(picture, np.ndarray):
        image = Image.fromarray(picture).convert("RGB")
    else:
        try:
            image = read_photograph(Path(picture), follow_exif=False)
        except (OSError, ValueError):
            image = Image.fromarray(broken_tile(side, f"cannot be read: {Path(picture).name}"))
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    square = Image.new("RGB", (side, side), "white")
    resized = image.resize((width, height), Image.Resampling.LANCZOS)
    square.paste(resized, ((side - width) // 2, (side - height) // 2))
    return square


def _shortened(text: str, width: int, font: _Font) -> str:
    """Return a text that fits, with dots in its middle if it has to be cut."""
    kept = len(text)
    shown = text
    while kept > 1 and font.getlength(shown) > width:
        kept -= 1
        shown = f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"
    return shown
