# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Windows that may reach over the border."""

from __future__ import annotations

import numpy as np
import pytest

from grata_monai.imaging import Window, overlap

IMAGE = np.arange(1, 10 * 8 * 3 + 1).reshape(10, 8, 3)
WINDOWS = [
    Window(2, 1, 4, 5),
    Window(-2, -3, 6, 6),
    Window(7, 5, 6, 6),
    Window(-3, -3, 20, 20),
    Window(-9, 2, 4, 4),
    Window(12, 2, 4, 4),
]


def by_hand(window, fill):
    pixels = np.full((window.height, window.width, 3), fill)
    for row in range(window.height):
        for column in range(window.width):
            y, x = window.top + row, window.left + column
            if 0 <= y < 10 and 0 <= x < 8:
                pixels[row, column] = IMAGE[y, x]
    return pixels


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_cut_pixel_by_pixel(window):
    assert np.array_equal(window.cut(IMAGE, fill=-1), by_hand(window, -1))
    assert np.array_equal(window.cut(IMAGE[..., 0]), by_hand(window, 0)[..., 0])


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_paste_is_where_it_was_cut(window):
    pasted = window.paste(window.cut(IMAGE), (10, 8), fill=0)
    rows, columns = np.ogrid[:10, :8]
    inside = (
        (rows >= window.top)
        & (rows < window.top + window.height)
        & (columns >= window.left)
        & (columns < window.left + window.width)
    )
    assert np.array_equal(pasted, np.where(inside[..., None], IMAGE, 0))


@pytest.mark.parametrize("start", range(-7, 12))
@pytest.mark.parametrize("length", [1, 4, 30])
def test_overlap_by_counting(start, length):
    axis, window = overlap(start, length, 6)
    covered = [i for i in range(6) if start <= i < start + length]
    assert list(range(6))[axis] == covered
    assert [start + i for i in range(length)[window]] == covered


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window(2, 1, 4, 5), (2, 1)),
        (Window(-2, 6, 4, 5), (0, 3)),
        (Window(8, -1, 4, 5), (6, 0)),
        (Window(3, 3, 14, 8), (-2, 0)),  # higher than the image: it lies in the middle
    ],
)
def test_shifted_inside(window, expected):
    shifted = window.shifted_inside((10, 8))
    assert (shifted.top, shifted.left) == expected
    assert (shifted.height, shifted.width) == (window.height, window.width)
    assert shifted.is_inside((10, 8)) is (window.height <= 10)


def test_around():
    assert Window.around((400.4, 300.6), 800) == Window(0, -99, 800, 800)
