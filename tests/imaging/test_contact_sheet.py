# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Contact sheets."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from grata_monai.imaging.contact_sheet import GAP, HEADER, draw_contact_sheet


def test_contact_sheet_puts_pictures_in_their_places(tmp_path):
    files = []
    for value in range(6):
        files.append(tmp_path / f"{value}.png")
        Image.new("RGB", (10, 10), (40 * value, 0, 0)).save(files[-1])
    sheet = tmp_path / "sheet.png"
    draw_contact_sheet([files[:3], files[3:]], titles=["a", "b", "c"], path=sheet, tile=20)
    pixels = np.asarray(Image.open(sheet))
    step = 20 + GAP
    for value in range(6):
        row, column = divmod(value, 3)
        y, x = HEADER + GAP + row * step + 10, GAP + column * step + 10
        assert pixels[y, x].tolist() == [40 * value, 0, 0]


def test_contact_sheet_without_rows(tmp_path):
    with pytest.raises(ValueError, match="needs rows of 2 pictures"):
        draw_contact_sheet([], titles=["a", "b"], path=tmp_path / "sheet.png")
