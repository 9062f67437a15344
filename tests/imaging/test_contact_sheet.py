# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Contact sheets."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from grata_monai.imaging.contact_sheet import CAPTION, GAP, HEADER, draw_contact_sheet


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


def test_arrays_captions_and_a_shorter_last_row(tmp_path):
    pictures = [np.full((8, 8, 3), 50 * n, dtype=np.uint8) for n in range(3)]
    sheet = tmp_path / "sheet.png"
    rows = [pictures[:2], pictures[2:]]
    draw_contact_sheet(rows, captions=[["a", "b"], ["c"]], path=sheet, tile=20)
    pixels = np.asarray(Image.open(sheet))
    step = 20 + GAP + CAPTION
    assert pixels.shape == (GAP + 2 * step, GAP + 2 * (20 + GAP), 3)
    assert pixels[GAP + 10, GAP + 24 + 10].tolist() == [50, 50, 50]
    assert pixels[GAP + step + 10, GAP + 10].tolist() == [100, 100, 100]
    assert (pixels[GAP + step :, GAP + 24 :] == 255).all()
    below = pixels[GAP + 20 : GAP + step, GAP : GAP + 20]
    assert below.min() < 100


def test_long_captions_stay_below_their_picture(tmp_path):
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    sheet = tmp_path / "sheet.png"
    draw_contact_sheet([[picture]], captions=[["a_very_long_name" * 9]], path=sheet, tile=60)
    pixels = np.asarray(Image.open(sheet))
    assert (pixels[GAP + 60 :, GAP + 60 :] == 255).all()


def test_pictures_keep_their_proportions(tmp_path):
    sheet = tmp_path / "sheet.png"
    draw_contact_sheet([[np.zeros((10, 20, 3), np.uint8)]], path=sheet, tile=40)
    dark = np.asarray(Image.open(sheet))[..., 0] < 128
    assert (dark.any(axis=1).sum(), dark.any(axis=0).sum()) == (20, 40)


def test_broken_and_missing_files_become_grey_tiles(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    sheet = tmp_path / "sheet.png"
    row = [tmp_path / "broken.png", tmp_path / "missing.png"]
    draw_contact_sheet([row], path=sheet, tile=80)
    pixels = np.asarray(Image.open(sheet))
    for column in range(2):
        assert pixels[GAP + 2, GAP + column * (80 + GAP) + 2].tolist() == [128, 128, 128]


@pytest.mark.parametrize("lengths", [(2, 0), (2, 3), (1, 2, 2)])
def test_rows_of_other_lengths(tmp_path, lengths):
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="needs rows of"):
        draw_contact_sheet([[picture] * n for n in lengths], path=tmp_path / "sheet.png")


def test_captions_of_another_form(tmp_path):
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="as many captions as pictures"):
        draw_contact_sheet([[picture]], captions=[["a", "b"]], path=tmp_path / "sheet.png")
