# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures on which a person sees at a glance whether the disc was found."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from grata_monai._checks import check_number
from grata_monai.imaging import Window
from grata_monai.imaging.overlay import CUP_COLOR, DISC_COLOR
from grata_monai.localization.location import DiscLocation

_LINE = 24


def draw_location(
    photograph: npt.NDArray[np.uint8],
    found: DiscLocation,
    *,
    roi_size: int = 800,
    side: int = 512,
    title: str = "",
) -> npt.NDArray[np.uint8]:
    """Return a square picture of a photograph with the region's window and the disc's center.

    Args:
        photograph: HxWx3.
        found: Where the disc is.
        roi_size: Side of the window in pixels of the photograph.
        side: Side of the picture.
        title: What stands above the confidence; the end of a long one is kept.
    """
    check_number("draw_location", "roi_size", roi_size, minimum=1, integer=True)
    check_number("draw_location", "side", side, minimum=64, integer=True)
    height, width = photograph.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.new("RGB", (side, side))
    image = Image.fromarray(photograph)
    picture.paste(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
    draw = ImageDraw.Draw(picture)
    window = Window.around(found.center, roi_size)
    corners = (window.left, window.top, window.left + roi_size, window.top + roi_size)
    draw.rectangle([scale * value for value in corners], outline=DISC_COLOR, width=2)
    row, column = scale * (found.row + 0.5), scale * (found.column + 0.5)
    arm = 0.03 * side
    draw.line((column - arm, row, column + arm, row), fill=CUP_COLOR, width=2)
    draw.line((column, row - arm, column, row + arm), fill=CUP_COLOR, width=2)
    font = ImageFont.load_default(size=_LINE - 6)
    characters = side // 10
    for line, text in enumerate((title[-characters:], f"{found.confidence:.2f} {found.method}")):
        place = (4, 2 + line * _LINE)
        draw.text(place, text, fill="white", font=font, stroke_width=2, stroke_fill="black")
    return np.asarray(picture)
