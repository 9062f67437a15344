# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Polygons of label maps, and label maps of polygons."""

from __future__ import annotations

import json

import numpy as np
import pytest
from skimage.draw import polygon2mask

from grata_monai.label.contours import SMALLEST_AREA, contours, rasterize


def ellipse(size, center, axes, angle=0.0):
    """Pixels whose center is in an ellipse; center (x, y) and axes in px."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    x, y = columns - center[0], rows - center[1]
    along, across = (
        x * np.cos(angle) + y * np.sin(angle),
        y * np.cos(angle) - x * np.sin(angle),
    )
    return (along / axes[0]) ** 2 + (across / axes[1]) ** 2 <= 1


def eye(size, disc, cup):
    disc, cup = ellipse(size, *disc), ellipse(size, *cup)
    return disc.astype(np.uint8) + (disc & cup)


SIZE = (240, 300)
EYES = {
    "cup in the middle": eye(SIZE, ((150, 120), (80, 95), 0.3), ((155, 118), (45, 40))),
    "cup on the disc's border": eye(SIZE, ((150, 120), (80, 95), 0.3), ((100, 120), (60, 55), 1)),
    "at two borders": eye(SIZE, ((15, 10), (90, 80)), ((0, 20), (40, 50))),
    "at the other borders": eye(SIZE, ((290, 235), (90, 80)), ((299, 239), (40, 50))),
    "larger than the photograph": eye(SIZE, ((150, 120), (400, 400)), ((150, 120), (90, 80))),
    "all cup": eye(SIZE, ((150, 120), (70, 80)), ((150, 120), (200, 200))),
}


def overlaps(first, second):
    """Intersection over union of disc and cup."""
    pairs = [(first >= value, second >= value) for value in (1, 2)]
    return [(a & b).sum() / (a | b).sum() for a, b in pairs]


@pytest.mark.parametrize("name", EYES)
def test_round_trip(name):
    labels = EYES[name]
    found = contours(labels)
    assert [one["label"] for one in found] == ["optic disc", "optic cup"]
    assert [len(one["contours"]) for one in found] == [1, 1]
    back = rasterize(json.loads(json.dumps(found)), SIZE)
    assert back.dtype == np.uint8
    assert min(overlaps(labels, back)) > 0.99
    assert max(len(one["contours"][0]) for one in found) < 80  # few enough to correct by hand


@pytest.mark.parametrize("name", EYES)
def test_polygons_stay_within_the_photograph_and_end_where_the_region_ends(name):
    labels = EYES[name]
    for one, value in zip(contours(labels), (1, 2), strict=True):
        points = np.array(one["contours"][0])
        rows, columns = np.nonzero(labels >= value)
        low, high = points.min(axis=0), points.max(axis=0)
        assert np.abs(low - [columns.min(), rows.min()]).max() <= 0.75
        assert np.abs(high - [columns.max() + 1, rows.max() + 1]).max() <= 0.75
        assert (low >= 0).all()
        assert (high <= [SIZE[1], SIZE[0]]).all()
        assert points[0].tolist() != points[-1].tolist()


def test_a_smaller_tolerance_is_closer():
    labels = EYES["cup on the disc's border"]
    fine, coarse = (contours(labels, tolerance=t) for t in (0.1, 3.0))
    assert len(fine[0]["contours"][0]) > 2 * len(coarse[0]["contours"][0])
    assert min(overlaps(labels, rasterize(fine, SIZE))) > 0.998
    assert max(overlaps(labels, rasterize(coarse, SIZE))) < 0.995


def test_largest_part_first_crumbs_and_holes_left_out():
    labels = np.zeros((60, 80), np.uint8)
    labels[2:7, 2:7] = 1  # 25 px
    labels[20:50, 20:60] = 1
    labels[30:40, 30:40] = 0  # a hole
    labels[33:37, 33:37] = 1  # and a part inside it
    labels[55:58, 70:73] = 1  # 9 px
    disc, cup = contours(labels)
    large, small = (np.array(one) for one in disc["contours"])
    np.testing.assert_allclose(
        [*large.min(axis=0), *large.max(axis=0)], [20, 20, 60, 50], atol=0.75
    )
    np.testing.assert_allclose([*small.min(axis=0), *small.max(axis=0)], [2, 2, 7, 7], atol=0.75)
    assert cup == {"label": "optic cup", "contours": []}
    assert SMALLEST_AREA > 9
    back = rasterize([disc, cup], labels.shape)
    assert back[30:40, 30:40].all()
    assert not back[55:58, 70:73].any()


def test_nothing_there():
    found = contours(np.zeros((40, 50), np.uint8))
    assert [one["contours"] for one in found] == [[], []]
    assert not rasterize(found, (40, 50)).any()
    assert rasterize([], (4, 5)).shape == (4, 5)


@pytest.mark.parametrize("seed", range(4))
def test_pixels_inside_are_those_of_scikit_image(seed):
    """Stars with random points, partly outside; no pixel's center lies on an edge."""
    generator = np.random.default_rng(seed)
    angles = np.sort(generator.uniform(0, 2 * np.pi, 30))
    radii = generator.uniform(10, 60, 30)
    points = np.stack([45 + radii * np.cos(angles), 30 + radii * np.sin(angles)], axis=1)
    expected = polygon2mask((70, 90), points[:, ::-1] - 0.5)
    found = rasterize([{"label": "optic disc", "contours": [points.tolist()]}], (70, 90))
    np.testing.assert_array_equal(found, expected)
    assert 0.05 < expected.mean() < 0.8
    backwards = [{"label": "optic disc", "contours": [points[::-1].tolist()]}]
    np.testing.assert_array_equal(rasterize(backwards, (70, 90)), expected)


def test_the_first_pixel_reaches_from_0_to_1():
    square = [[0, 0], [2, 0], [2, 1], [0, 1]]
    closed = [*square, square[0]]  # as other programs send it
    for points in (square, closed):
        found = rasterize([{"label": "optic disc", "contours": [points]}], (3, 4))
        assert found.tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_a_cup_is_cut_at_the_disc():
    disc = {"label": "optic disc", "contours": [[[1, 0], [3, 0], [3, 2], [1, 2]]]}
    cup = {"label": "optic cup", "contours": [[[2, 0], [4, 0], [4, 1], [2, 1]]]}
    assert rasterize([cup, disc], (2, 4)).tolist() == [[0, 1, 2, 0], [0, 1, 1, 0]]
    with pytest.raises(ValueError, match="There is a cup but no disc around it"):
        rasterize([cup], (2, 4))


@pytest.mark.parametrize(
    "points",
    [[], [[0, 0], [1, 1]], [[0, 0], [1], [2, 2]], [[0, 0], [1, "a"], [2, 2]], [[0, 0], [1, 1, 1]]],
)
def test_what_is_no_polygon(points):
    with pytest.raises(ValueError, match="A polygon of 'optic disc' must be a list of at least"):
        rasterize([{"label": "optic disc", "contours": [points]}], (4, 4))


def test_not_finite_points_and_unknown_labels():
    with pytest.raises(ValueError, match="at least three points"):
        rasterize(
            [{"label": "optic cup", "contours": [[[0, 0], [1, float("nan")], [2, 2]]]}], (4, 4)
        )
    with pytest.raises(ValueError, match=r"one of optic disc, optic cup\. Got 'vessel'"):
        rasterize([{"label": "vessel", "contours": []}], (4, 4))
