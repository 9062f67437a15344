# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Whole synthetic photographs: framing, field of view, anatomy around the disc, and what stays."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy import ndimage

from grata_monai.data import SYNTHETIC_DOMAINS, paint_fundus, paint_photograph
from grata_monai.data._fundus_anatomy import draw_anatomy
from grata_monai.data._fundus_painter import paint_eye
from grata_monai.data._fundus_vessels import FOVEA, draw_vessels, grow_vessels
from grata_monai.data._fundus_view import REGION, View

NAMES = tuple(SYNTHETIC_DOMAINS)
HEIGHT, WIDTH = 110, 128
MASK_DIGEST = "e20c8070ac31161eb355c395648852bfb60519a375f917380a62c55d112f89a8"


@pytest.fixture(scope="module")
def samples():
    """Eight small photographs and masks per domain."""
    return {
        name: [
            paint_photograph(name, seed=(5, index), height=HEIGHT, width=WIDTH)
            for index in range(8)
        ]
        for name in NAMES
    }


def from_middle(height, width):
    """Return each pixel's distance from the middle in widths."""
    rows, columns = np.ogrid[:height, :width]
    return np.hypot(rows + 0.5 - height / 2, columns + 0.5 - width / 2) / width


def center(mask):
    return np.array(ndimage.center_of_mass(mask < 255)) + 0.5


def test_regions_of_the_authors_layout_have_not_changed():
    """Masks do not depend on the rounding of a machine's libraries as photographs may."""
    digest = hashlib.sha256()
    for name in NAMES:
        for seed in (0, 123456):
            digest.update(paint_fundus(name, seed=seed, size=64)[1].tobytes())
    assert digest.hexdigest() == MASK_DIGEST


@pytest.mark.parametrize("name", NAMES)
def test_types_and_encoding(samples, name):
    for photo, mask in samples[name]:
        assert (photo.shape, mask.shape) == ((HEIGHT, WIDTH, 3), (HEIGHT, WIDTH))
        assert photo.dtype == mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 128, 255}
        assert photo.flags.c_contiguous
        assert mask.flags.c_contiguous


@pytest.mark.parametrize("name", NAMES)
def test_it_is_black_outside_of_the_round_field_and_not_inside(samples, name):
    distance = from_middle(HEIGHT, WIDTH)
    outside, inside = distance > 0.51, distance < 0.46
    assert outside.sum() > 200
    for photo, _ in samples[name]:
        # strong compression leaves some light beside the border
        assert np.percentile(photo[outside].max(-1), 95) < 25
        assert (photo[inside].max(-1) > 25).mean() > 0.97


@pytest.mark.parametrize("name", NAMES)
def test_disc_is_whole_and_in_the_field_off_the_middle(samples, name):
    distance = from_middle(HEIGHT, WIDTH)
    sides = []
    for photo, mask in samples[name]:
        disc = mask < 255
        assert ndimage.label(disc)[1] == 1
        assert distance[disc].max() < 0.49
        row, column = center(mask) / (HEIGHT, WIDTH)
        assert abs(row - 0.5) < 0.07
        assert 0.04 < abs(column - 0.5) < 0.22
        sides.append(column > 0.5)
        ring = ndimage.binary_dilation(disc, iterations=6) & ~disc
        assert photo[disc, 1].mean() > photo[ring, 1].mean()
    assert 0 < sum(sides) < len(sides)  # left and right eyes


@pytest.mark.parametrize("name", NAMES)
def test_fovea_is_dark_and_on_the_temporal_side(samples, name):
    """Temporal is towards the middle of the picture, for the disc lies on the nasal side."""
    unit = WIDTH / 2.6
    darker = []
    for photo, mask in samples[name]:
        gray = ndimage.gaussian_filter(photo.astype(float).mean(-1), 1.5)
        row, column = center(mask)
        temporal = -1 if column > WIDTH / 2 else 1
        fovea = gray[round(row + FOVEA[0] * unit), round(column + temporal * FOVEA[1] * unit)]
        around = [
            gray[round(row + step * unit), round(column + temporal * 0.5 * unit)]
            for step in (-0.35, 0.5)
        ]
        darker.append(fovea < 0.9 * np.mean(around))
    assert np.mean(darker) > 0.8


def test_height_and_width_cut_the_same_square():
    arguments = {"seed": 3, "disc_radius": 0.08, "disc_center": (0.5, 0.4)}
    square, square_mask = paint_photograph("Synthetic_A", height=96, width=96, **arguments)
    wide, wide_mask = paint_photograph("Synthetic_A", height=70, width=96, **arguments)
    assert np.array_equal(wide_mask, square_mask[13:83])
    assert np.array_equal(wide, square[13:83])
    tall, tall_mask = paint_photograph("Synthetic_A", height=130, width=96, **arguments)
    assert tall.shape == (130, 96, 3)
    disc, tall_disc = square_mask < 255, tall_mask < 255
    assert abs(disc.sum() - tall_disc.sum()) < 0.05 * disc.sum()
    assert np.allclose(center(tall_mask), (65, center(square_mask)[1]), atol=1.0)


@pytest.mark.parametrize("place", [(0.45, 0.25), (0.55, 0.7), (0.4, 0.5)])
def test_disc_lies_where_it_is_asked_for_and_is_as_large(place):
    _, mask = paint_photograph(
        "Synthetic_E", seed=2, height=200, width=240, disc_center=place, disc_radius=0.09
    )
    assert np.allclose(center(mask), np.array(place) * (200, 240), atol=2.0)
    rows = np.flatnonzero((mask < 255).any(1)).size
    assert rows == pytest.approx(2 * 0.09 * 240, rel=0.08)


def test_extent_zooms_and_leaves_the_eye():
    near, far = (
        paint_photograph(
            "Synthetic_B",
            seed=4,
            height=200,
            width=200,
            disc_center=(0.5, 0.45),
            extent=extent,
        )[1]
        for extent in (2.0, 4.0)
    )
    assert (near < 255).sum() == pytest.approx(4 * (far < 255).sum(), rel=0.05)


def test_without_border_the_whole_picture_is_lit():
    photo, _ = paint_photograph(
        "Synthetic_A", seed=1, height=96, width=96, disc_center=(0.5, 0.5), field_diameter=2.0
    )
    assert (photo.max(-1) > 25).mean() > 0.97


def test_same_seed_same_bits_and_other_seed_other_eye():
    first, again, other = (
        paint_photograph("Synthetic_C", seed=seed, height=64, width=80) for seed in (5, 5, 6)
    )
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[1], other[1])


def test_eye_does_not_depend_on_the_size_of_the_image():
    small, large = (
        paint_photograph("Synthetic_B", seed=11, height=side, width=side) for side in (96, 192)
    )
    assert np.allclose(center(small[1]), center(large[1]) / 2, atol=0.7)
    halved = large[0].reshape(96, 2, 96, 2, 3).mean((1, 3))
    assert np.corrcoef(halved.ravel(), small[0].ravel())[0, 1] > 0.97


def eye_and_vessels(seed, view):
    style = SYNTHETIC_DOMAINS["Synthetic_B"]
    anatomy = draw_anatomy(style.eye, style.camera, np.random.default_rng(seed))
    return anatomy, grow_vessels(anatomy, np.random.default_rng(seed), view=view)


def test_vessels_thin_out_bend_to_the_temporal_side_and_spare_the_fovea():
    view = View(extent=2.6, center=(0.0, 0.4))
    headings_near, headings_far = [], []
    for seed in range(6):
        _, vessels = eye_and_vessels(seed, view)
        arcades = [v for v in vessels if v.widths[0] > 0.011 and len(v.points) > 60]
        assert arcades
        for vessel in arcades:
            assert vessel.widths[-1] < 0.75 * vessel.widths[0]
            if vessel.points[-1, 1] > 0.9:  # ran over to the temporal side
                steps = np.diff(vessel.points, axis=0)
                headings_near.append(abs(np.arctan2(*steps[5:25].mean(0))))
                headings_far.append(abs(np.arctan2(*steps[-20:].mean(0))))
        points = np.concatenate([vessel.points for vessel in vessels])
        assert np.hypot(*(points - FOVEA).T).min() > 0.1
        assert np.abs(points - view.center).max() < 1.3 + 0.1
        assert np.ptp(points, axis=0).min() > 2.0  # over the whole field
    assert len(headings_far) >= 4
    assert np.median(headings_near) > 0.9
    assert np.median(headings_far) < 0.7 * np.median(headings_near)


def test_vessels_have_the_same_width_in_a_wider_picture():
    """A vessel twice as far away is drawn half as wide."""
    _, vessels = eye_and_vessels(1, REGION)
    region = draw_vessels(vessels, 256, arteries=False)
    wide = draw_vessels(vessels, 256, arteries=False, view=View(extent=2.0))
    assert wide[64:192, 64:192].sum() == pytest.approx(region.sum() / 4, rel=0.1)
    assert not wide[:50].any()


def test_mask_of_a_wider_view_holds_that_of_the_region():
    style = SYNTHETIC_DOMAINS["Synthetic_A"]
    anatomy = draw_anatomy(style.eye, style.camera, np.random.default_rng(3))
    region = paint_eye(anatomy, 64, np.random.default_rng(0))[1]
    wide = paint_eye(anatomy, 128, np.random.default_rng(0), view=View(extent=2.0))[1]
    assert np.array_equal(wide[32:96, 32:96], region)
    assert (wide == 255).sum() == (region == 255).sum() + 128 * 128 - 64 * 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 16}, r"'height' parameter of paint_photograph .* Got 16"),
        ({"width": 5000}, r"'width' parameter of paint_photograph .* Got 5000"),
        ({"seed": -1}, r"'seed' parameter of paint_photograph .* Got -1"),
        ({"extent": 0.5}, r"'extent' parameter of paint_photograph .* Got 0.5"),
        ({"disc_radius": 0.0}, r"'disc_radius' parameter of paint_photograph .* Got 0.0"),
        ({"field_diameter": 9}, r"'field_diameter' parameter of paint_photograph .* Got 9"),
        ({"disc_center": (0.5, 0.02)}, r"disc would not be seen as a whole.*\(0.5, 0.02\)"),
        ({"disc_center": (0.05, 0.5)}, "disc would not be seen as a whole"),
        ({"field_diameter": 0.5, "disc_center": (0.5, 0.3)}, "field_diameter=0.5. Move it"),
        ({"domain": "Synthetic-A"}, r"did you mean 'Synthetic_A'\?"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    given = {"domain": "Synthetic_A", "seed": 0, "height": 64, "width": 64, **arguments}
    with pytest.raises(ValueError, match=message):
        paint_photograph(given.pop("domain"), **given)
