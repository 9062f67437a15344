# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Finding the disc without a network: drawn and synthetic photographs, and odd input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from grata_monai.data import paint_fundus
from grata_monai.data.synthetic_photograph import paint_photograph
from grata_monai.imaging import disc_center
from grata_monai.localization import locate_disc


def draw(center=(100, 90), radius=14, size=(180, 200), brightness=1.0, seed=0):
    """A round field with a bright disc and two vessels that run up and down through it."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    generator = np.random.default_rng(seed)
    level = 90 + ndimage.gaussian_filter(generator.normal(0, 30, size), 2)
    level[np.hypot(rows - center[0], columns - center[1]) <= radius] += 90
    near = np.abs(rows - center[0]) < 60
    for side in (-3, 3):
        level[near & (np.abs(columns - center[1] - side) <= 1)] -= 40
    level[np.hypot(rows - size[0] / 2, columns - size[1] / 2) > 0.49 * size[1]] = 0
    shares = brightness * np.array([1.0, 0.6, 0.3])
    return np.clip(level[..., None] * shares, 0, 255).astype(np.uint8)


def distance(found, center):
    return np.hypot(found.row - center[0], found.column - center[1])


@pytest.fixture(scope="module")
def photograph():
    return draw()


@pytest.fixture(scope="module")
def found(photograph):
    return locate_disc(photograph)


def test_finds_a_drawn_disc(found):
    assert distance(found, (100, 90)) < 4
    assert found.center == (found.row, found.column)
    assert (found.method, found.note) == ("classical", "")
    assert found.confidence > 0.9


def test_candidates_are_apart_and_best_first(found):
    first, *others = found.candidates
    assert distance(first, (100, 90)) < 7
    assert 14 < first.diameter < 56
    assert others
    for other in others:
        assert other.score < first.score
        assert distance(other, (first.row, first.column)) > first.diameter


@pytest.mark.parametrize("axes", [0, 1, (0, 1)], ids=["upside down", "mirrored", "both"])
def test_a_mirrored_photograph_has_a_mirrored_location(photograph, found, axes):
    mirrored = locate_disc(np.ascontiguousarray(np.flip(photograph, axes)))
    row, column = found.center
    axes = np.atleast_1d(axes)
    expected = (179 - row if 0 in axes else row, 199 - column if 1 in axes else column)
    assert distance(mirrored, expected) < 2


@pytest.mark.parametrize("factor", [0.1, 0.4, 1.3])
def test_brightness_matters_little(found, factor):
    assert distance(locate_disc(draw(brightness=factor)), found.center) < 4


def test_size_matters_little(photograph, found):
    doubled = photograph.repeat(2, axis=0).repeat(2, axis=1)
    large = locate_disc(doubled)
    assert distance(large, (2 * found.row + 0.5, 2 * found.column + 0.5)) < 5
    assert large.candidates[0].diameter == pytest.approx(2 * found.candidates[0].diameter, rel=0.3)


def test_a_bright_spot_without_vessels_is_not_the_disc(photograph):
    rows, columns = np.mgrid[:180, :200]
    spot = 200 * np.exp(-((rows - 90) ** 2 + (columns - 150) ** 2) / (2 * 5**2))
    with_spot = np.clip(photograph + spot[..., None], 0, 255).astype(np.uint8)
    assert distance(locate_disc(with_spot), (100, 90)) < 7


def test_the_surround_may_be_lighter_than_black(photograph):
    assert distance(locate_disc((45 + photograph * 0.8).astype(np.uint8)), (100, 90)) < 5


def test_confidence_falls_as_the_disc_fades():
    shares = (1.0, 0.3, 0.0)
    plain = draw(radius=0).astype(float)
    faded = [plain + share * (draw().astype(float) - plain) for share in shares]
    confidences = [locate_disc(image.astype(np.uint8)).confidence for image in faded]
    assert confidences[0] > confidences[1] > confidences[2]
    assert confidences[2] < 0.5


@pytest.mark.parametrize("letter", "ACE")
def test_synthetic_photographs(letter):
    photograph, mask = paint_photograph(f"Synthetic_{letter}", seed=7, height=330, width=384)
    found = locate_disc(photograph)
    assert mask[round(found.row), round(found.column)] < 255
    assert found.confidence > 0.5


@pytest.mark.parametrize("diameter", [None, 150.0], ids=["found", "given"])
def test_regions(diameter):
    region, mask = paint_fundus("Synthetic_B", seed=3, size=256)
    found = locate_disc(region, disc_diameter=diameter)
    radius = np.sqrt((mask < 255).sum() / np.pi)
    assert distance(found, disc_center(mask)) < 0.5 * radius


@pytest.mark.parametrize("level", [0, 90, 255])
def test_one_color_is_nothing_to_see(level):
    found = locate_disc(np.full((50, 70, 3), level, dtype=np.uint8))
    assert found.center == (24.5, 34.5)
    assert found.confidence == 0
    assert "one color" in found.note
    assert not found.candidates


def test_a_brighter_half_is_no_disc():
    photograph = np.zeros((100, 120, 3), dtype=np.uint8)
    photograph[:, 60:] = 255
    found = locate_disc(photograph)
    assert found.confidence == 0
    assert "no place is brighter" in found.note


def test_a_mask_is_no_photograph():
    mask = np.zeros((200, 200, 3), dtype=np.uint8)
    mask[80:120, 70:110] = 255
    found = locate_disc(mask)
    assert found.confidence == 0
    assert "few levels" in found.note


@pytest.mark.parametrize("size", [(32, 32), (32, 700), (201, 333)])
def test_noise_gives_a_place_inside_without_confidence(size):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    found = locate_disc(noise)
    assert 0 <= found.row <= size[0] - 1
    assert 0 <= found.column <= size[1] - 1
    assert found.confidence < 0.5


@pytest.mark.parametrize(
    ("photograph", "options", "message"),
    [
        (np.zeros((31, 90, 3), np.uint8), {}, "at least 32 pixels on each side. Got 31 rows"),
        (np.zeros((90, 90), np.uint8), {}, r"HxWx3 of unsigned 8-bit levels. Got shape \(90, 90\)"),
        (np.zeros((90, 90, 3)), {}, "type float64"),
        (np.zeros((90, 90, 3), np.uint8), {"disc_diameter": 0}, "'disc_diameter' parameter"),
        (np.zeros((90, 90, 3), np.uint8), {"disc_diameter": 91}, r"in \[4, 90\]"),
    ],
)
def test_refuses_what_is_no_photograph(photograph, options, message):
    with pytest.raises(ValueError, match=message):
        locate_disc(photograph, **options)
