# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Levels of raw masks, sizes and plausibility."""

from __future__ import annotations

import numpy as np
import pytest

from grata_monai.preparation.decoding import (
    AUTHORS,
    LABELS,
    MaskLevels,
    Notes,
    check_mask,
    decode_binary,
    decode_by_levels,
    decode_by_thresholds,
    fill_disc,
    fit_mask,
)
from grata_monai.preparation.problems import FileError

EXPECTED = [[[0, 1, 1]], [[0, 0, 1]]]  # disc with cup, cup


def array(*values):
    return np.array([values], dtype=np.uint8)


@pytest.mark.parametrize(
    "levels",
    [
        AUTHORS.decode(array(255, 128, 0)),
        LABELS.decode(array(0, 1, 2)),
        MaskLevels(7, 100, 200).decode(array(7, 100, 200)),
        MaskLevels(255, 128, 0, tolerance=9).decode(array(249, 137, 6)),
        decode_by_levels(array(255, 128, 0)),
        decode_by_levels(array(0, 1, 2)),
        decode_by_thresholds(array(255, 254, 0), cup=0, rim=254),
        decode_by_thresholds(array(201, 51, 50), cup=50, rim=200),
    ],
)
def test_all_encodings_mean_the_same(levels):
    assert levels.astype(int).tolist() == EXPECTED


def test_masks_without_cup():
    assert MaskLevels(0, 255, None).decode(array(0, 255, 0)).astype(int).tolist() == [
        [[0, 1, 0]],
        [[0, 0, 0]],
    ]
    assert decode_by_levels(array(0, 1, 0)).any(axis=(1, 2)).tolist() == [True, False]
    assert decode_by_levels(array(255, 128, 255)).any(axis=(1, 2)).tolist() == [True, False]


@pytest.mark.parametrize(
    ("decode", "levels", "detail"),
    [
        (AUTHORS.decode, array(255, 128, 17, 3), "levels 3, 17"),
        (LABELS.decode, array(0, 1, 2, 3), "levels 3"),
        (decode_by_levels, array(0, 1, 2, 3), "levels 0, 1, 2, 3"),
        (decode_by_levels, array(128, 0, 0), "levels 0, 128"),
        (decode_binary, array(0, 255, 128), "levels 0, 128, 255"),
        (decode_binary, array(0, 1, 255), "levels 0, 1, 255"),
        (lambda levels: decode_by_thresholds(levels, cup=0, rim=254), array(0, 1, 2), "0, 1, 2"),
    ],
)
def test_unknown_levels_are_named(decode, levels, detail):
    with pytest.raises(FileError) as caught:
        decode(levels)
    assert "levels of unknown meaning" in caught.value.what
    assert detail in caught.value.detail


def test_two_levels_leave_disc_and_cup_open():
    with pytest.raises(FileError, match="not clear what is disc and what cup"):
        decode_by_levels(array(0, 255, 0))


@pytest.mark.parametrize("high", [1, 255])
def test_binary(high):
    assert decode_binary(array(0, high, 0)).tolist() == [[False, True, False]]
    assert not decode_binary(array(0, 0)).any()
    assert decode_binary(array(high, high)).all()


def disc_mask(height=20, width=30):
    mask = np.zeros((2, height, width), bool)
    mask[0, 5:15, 10:20] = True
    mask[1, 8:12, 13:17] = True
    return mask


def test_sizes_that_agree_are_left_alone():
    mask, notes = disc_mask(), Notes()
    assert fit_mask(mask, (20, 30), "error", notes) is mask
    assert notes.counts == {}


def test_wider_mask_loses_both_sides_equally():
    notes = Notes()
    cut = fit_mask(disc_mask(), (20, 24), "crop", notes)
    assert np.array_equal(cut, disc_mask()[:, :, 3:27])
    assert notes.counts == {"mask_cropped_columns": 6}


def test_resize_by_the_nearest_pixel_within_one_percent():
    mask = np.zeros((2, 1752, 2045), bool)
    mask[:, 800:1000, 700:900] = True
    notes = Notes()
    resized = fit_mask(mask, (1760, 2047), "resize", notes)
    assert resized.shape == (2, 1760, 2047)
    rows = np.flatnonzero(resized[0].any(axis=1))
    assert abs(rows[0] - 800 * 1760 / 1752) <= 1
    assert resized[0].sum() == pytest.approx(40000 * (1760 / 1752) * (2047 / 2045), rel=0.01)
    assert notes.counts == {"mask_resized_pixels": 10}


@pytest.mark.parametrize(
    ("size", "rule"),
    [((20, 29), "error"), ((19, 24), "crop"), ((20, 31), "crop"), ((22, 30), "resize")],
)
def test_other_sizes_are_refused(size, rule):
    with pytest.raises(FileError, match="differ in size") as caught:
        fit_mask(disc_mask(), size, rule, Notes())
    assert caught.value.detail == f"photograph {size[1]}x{size[0]}, mask 30x20"


def test_cup_is_cut_to_the_disc_and_counted():
    mask, notes = disc_mask(), Notes()
    mask[1, 8:12, 18:21] = True  # three columns more, one of them outside of the disc
    checked = check_mask(mask, notes)
    assert notes.counts == {"cup_outside_disc": 4}
    assert not (checked[1] & ~checked[0]).any()
    assert checked[1].sum() == mask[1].sum() - 4


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda mask: mask.fill(False), "no disc"),
        (lambda mask: mask[0].fill(True), "all four corners"),
        (lambda mask: mask[:], None),
        (lambda mask: mask.__setitem__(slice(None), mask[::-1].copy()), "outside the disc"),
    ],
)
def test_masks_that_cannot_be(change, what):
    mask = disc_mask()
    change(mask)
    if what is None:
        check_mask(mask, Notes())
        return
    with pytest.raises(FileError, match=what):
        check_mask(mask, Notes())


def test_an_empty_cup_is_noted():
    mask, notes = disc_mask(), Notes()
    mask[1] = False
    check_mask(mask, notes)
    assert notes.counts == {"no_cup": 1}


def test_holes_of_the_disc_are_filled():
    mask, notes = disc_mask(), Notes()
    mask[0, 7:9, 12:14] = False
    assert np.array_equal(fill_disc(mask, notes)[0], disc_mask()[0])
    assert notes.counts == {"disc_holes_filled": 4}
