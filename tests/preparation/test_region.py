# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Windows around the disc, borders, resampling and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from grata_monai.imaging import Window, encode_mask
from grata_monai.preparation.decoding import Notes
from grata_monai.preparation.problems import FileError
from grata_monai.preparation.region import RegionOptions, cut_region, paste_back

GENERATOR = np.random.default_rng(0)
PHOTOGRAPH = GENERATOR.integers(1, 256, (120, 160, 3), dtype=np.uint8)


def disc_at(row, column, radius=10, size=(120, 160)):
    rows, columns = np.ogrid[: size[0], : size[1]]
    distance = np.hypot(rows - row, columns - column)
    return np.stack([distance <= radius, distance <= radius / 2])


def cut(mask, notes=None, given=None, locate=None, **options):
    notes = Notes() if notes is None else notes
    region = RegionOptions(roi_size=64, **options)
    return cut_region(PHOTOGRAPH, mask, region, given=given, locate=locate, notes=notes)


def test_window_begins_at_the_rounded_center_less_half_the_side():
    region = cut(disc_at(60, 80))
    assert region.window == Window(28, 48, 64, 64)
    assert np.array_equal(region.image, PHOTOGRAPH[28:92, 48:112])
    assert np.array_equal(region.mask, encode_mask(disc_at(60, 80))[28:92, 48:112])
    assert region.center == (60, 80)


def test_padding_is_black_and_background():
    notes = Notes()
    region = cut(disc_at(12, 150, radius=8), notes)
    assert region.window == Window(-20, 118, 64, 64)
    assert notes.counts == {"pixels_beyond_border": 22}
    assert (region.image[:20] == 0).all()
    assert (region.mask[:20] == 255).all()
    assert (region.image[:, 42:] == 0).all()
    assert np.array_equal(region.image[20:, :42], PHOTOGRAPH[:44, 118:])


def test_shifting_keeps_the_window_inside():
    notes = Notes()
    region = cut(disc_at(12, 150, radius=8), notes, border="shift")
    assert region.window == Window(0, 96, 64, 64)
    assert notes.counts == {}
    assert np.array_equal(region.image, PHOTOGRAPH[:64, 96:])


def test_centroid_takes_the_largest_part_and_bbox_all():
    mask = disc_at(60, 60, radius=9) | disc_at(60, 100, radius=4)
    assert cut(mask).center == (60, 60)
    assert cut(mask, center="bbox").center == (60, (51 + 104) / 2)


def test_given_and_detected_centers():
    mask = disc_at(60, 80)
    assert cut(mask, center="file", given=(50.4, 90.6)).window == Window(18, 59, 64, 64)
    notes = Notes()
    region = cut(None, notes, center="detect", locate=lambda photograph: ((40.0, 60.0), 0.62))
    assert (region.window, region.mask) == (Window(8, 28, 64, 64), None)
    assert notes.counts == {"center_confidence_percent": 62}


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"center": "file"}, "has no row for it"),
        ({"center": "file", "given": (130, 10)}, "lies outside the photograph"),
        ({"center": "file", "given": (110, 10)}, "disc lies outside the region"),
    ],
)
def test_centers_that_do_not_serve(options, what):
    with pytest.raises(FileError, match=what):
        cut(disc_at(30, 130), **options)


def test_no_mask_and_no_center():
    with pytest.raises(FileError, match="no mask to take the disc's center from"):
        cut(None)


def test_a_disc_that_is_cut_off_is_noted():
    notes = Notes()
    cut(disc_at(60, 80), notes, center="file", given=(60, 50))
    # columns up to 50 + 31 are inside
    expected = disc_at(60, 80)[0][:, 82:].sum()
    assert notes.counts == {"disc_pixels_outside_region": expected}


def test_resampling_is_that_of_pil():
    region = cut(disc_at(60, 80), size=32)
    image = Image.fromarray(PHOTOGRAPH[28:92, 48:112]).resize((32, 32), Image.Resampling.BICUBIC)
    grey = Image.fromarray(encode_mask(disc_at(60, 80))[28:92, 48:112])
    assert np.array_equal(region.image, np.asarray(image))
    assert np.array_equal(region.mask, np.asarray(grey.resize((32, 32), Image.Resampling.NEAREST)))


@pytest.mark.parametrize("border", ["pad", "shift"])
@pytest.mark.parametrize("center", [(60, 80), (12, 150), (118, 3)])
def test_what_is_cut_goes_back_where_it_was(center, border):
    mask = disc_at(*center, radius=8)
    region = cut(mask, border=border)
    labels = np.select([region.mask == 0, region.mask == 128], [2, 1], 0).astype(np.uint8)
    whole = paste_back(labels, region.window, (120, 160))
    assert np.array_equal(whole, mask[0].astype(np.uint8) + mask[1])


def test_a_smaller_prediction_goes_back_on_the_disc():
    mask = disc_at(60, 80, radius=16)
    region = cut(mask, size=48)
    labels = np.select([region.mask == 0, region.mask == 128], [2, 1], 0).astype(np.uint8)
    whole = paste_back(labels, region.window, (120, 160))
    dice = 2 * ((whole > 0) & mask[0]).sum() / ((whole > 0).sum() + mask[0].sum())
    assert dice > 0.97


def test_whole_photograph():
    region = cut(disc_at(60, 80), center="whole")
    assert region.window == Window(0, 0, 120, 160)
    assert np.array_equal(region.image, PHOTOGRAPH)


@pytest.mark.parametrize(
    "options",
    [{"roi_size": 8}, {"size": 2.5}, {"center": "middle"}, {"border": "wrap"}, {"exif": 1}],
)
def test_bad_options(options):
    with pytest.raises(ValueError, match=f"'{next(iter(options))}' parameter of RegionOptions"):
        RegionOptions(**options)
