# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures side by side: one row per image, one titled column per method."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage.util import montage

from grata_monai._files import atomic_path

HEADER = 26
GAP = 4


def draw_contact_sheet(
    rows: Sequence[Sequence[str | os.PathLike[str]]],
    *,
    titles: Sequence[str],
    path: str | os.PathLike[str],
    tile: int = 256,
) -> None:
    """Write one PNG of many pictures.

    Args:
        rows: Files of the pictures, row by row, each row as long as ``titles``.
        titles: What stands above each column.
        path: PNG file to write.
        tile: Side of a picture in pixels.

    Raises:
        ValueError: If there are no rows, or one is of another length.
    """
    if not rows or any(len(row) != len(titles) for row in rows):
        raise ValueError(
            f"A contact sheet needs rows of {len(titles)} pictures; got {[len(r) for r in rows]}."
        )
    pictures = [_read(Path(file), tile) for row in rows for file in row]
    body = montage(
        np.stack(pictures),
        grid_shape=(len(rows), len(titles)),
        padding_width=GAP,
        channel_axis=-1,
        fill=(255, 255, 255),
    )
    sheet = Image.new("RGB", (body.shape[1], body.shape[0] + HEADER), "white")
    sheet.paste(Image.fromarray(body), (0, HEADER))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=16)
    for column, title in enumerate(titles):
        draw.text((column * (tile + GAP) + GAP, 4), title, fill="black", font=font)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def _read(path: Path, tile: int) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB").resize((tile, tile), Image.Resampling.LANCZOS))
