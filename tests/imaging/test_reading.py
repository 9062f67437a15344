# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Reading from memory, raw levels and EXIF orientation."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest
from PIL import Image

from grata_monai.imaging import (
    ImageSource,
    exif_orientation,
    probe,
    read_levels,
    read_photograph,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)


def png(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", **options)
    return ImageSource("in memory.png", buffer.getvalue())


def test_from_memory():
    source = png(Image.fromarray(PIXELS))
    assert np.array_equal(np.asarray(read_photograph(source)), PIXELS)
    assert probe(source) == ((12, 8), "RGB")
    with pytest.raises(ValueError, match=r"Cannot read the photograph half\.png"):
        read_photograph(ImageSource("half.png", source.data[:90]))


@pytest.mark.parametrize("follow_exif", [None, False, True])
def test_what_is_broken_in_the_middle_is_not_read_by_half(follow_exif):
    data = bytearray(png(Image.fromarray(np.tile(PIXELS, (8, 8, 1))), compress_level=0).data)
    at = len(data) // 2
    Image.open(io.BytesIO(data)).load()
    data[at] ^= 0xFF
    with pytest.raises(ValueError, match=r"Cannot read the photograph flipped\.png: \w"):
        read_photograph(ImageSource("flipped.png", bytes(data)), follow_exif=follow_exif)


@pytest.mark.parametrize("pages", [1, 3])
def test_the_first_page_of_a_tiff_is_read_and_the_others_are_not_left_unsaid(pages, caplog):
    first, other = Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)
    buffer = io.BytesIO()
    first.save(buffer, format="TIFF", save_all=True, append_images=[other] * (pages - 1))
    with caplog.at_level(logging.WARNING, logger="grata_monai"):
        read = read_photograph(ImageSource("stereo.tif", buffer.getvalue()))
    assert np.array_equal(np.asarray(read), PIXELS)
    assert ("stereo.tif has several pages" in caplog.text) == (pages > 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_following_the_exif_orientation_turns_back_what_was_turned(orientation, caplog):
    stored = {
        1: PIXELS,
        2: PIXELS[:, ::-1],
        3: PIXELS[::-1, ::-1],
        4: PIXELS[::-1],
        5: PIXELS.transpose(1, 0, 2),
        6: np.rot90(PIXELS),
        7: PIXELS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(PIXELS, -1),
    }[orientation]
    tag = Image.Exif()
    tag[0x0112] = orientation
    source = png(Image.fromarray(np.ascontiguousarray(stored)), exif=tag)
    assert exif_orientation(source) == orientation
    with caplog.at_level(logging.WARNING, logger="grata_monai"):
        assert np.array_equal(np.asarray(read_photograph(source, follow_exif=True)), PIXELS)
        assert np.array_equal(np.asarray(read_photograph(source, follow_exif=False)), stored)
    assert not caplog.text


def test_levels_as_stored():
    indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    palette = Image.fromarray(indices)
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    assert np.array_equal(read_levels(png(palette)), indices)
    deep = Image.fromarray(np.array([[0, 40000]], np.uint16))
    assert read_levels(png(deep)).tolist() == [[0, 40000]]
    widened = Image.fromarray(np.array([[0, 128 * 257, 65535]], np.uint16))
    assert read_levels(png(widened)).tolist() == [[0, 128, 255]]
    assert (
        read_levels(png(Image.fromarray(np.stack([indices] * 3, -1)))).tolist() == indices.tolist()
    )
    assert read_levels(png(Image.fromarray(indices > 0))).tolist() == [[0, 255, 255], [255, 255, 0]]
    with pytest.raises(ValueError, match="it has colors"):
        read_levels(png(Image.fromarray(PIXELS)))
