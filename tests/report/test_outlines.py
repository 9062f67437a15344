# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Outlines lie where the regions end, and their SVG paths can be read back."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from grata_monai.report.outlines import MOST_PARTS, UNITS, outlines, read_labels, svg_path
from tests.report.synthetic_run import ellipse


def area(points):
    """Return the area of a polygon by the shoelace formula."""
    x, y = np.asarray(points, dtype=float).T
    return 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))


def parse(path):
    """Return the polygons of a path of M, relative l and z."""
    polygons = []
    for part in re.findall(r"M(-?\d+) (-?\d+)l([-\d ]*)z", path):
        point = np.array([int(part[0]), int(part[1])])
        steps = np.array(part[2].split(), dtype=int).reshape(-1, 2)
        polygons.append(np.vstack([point, point + np.cumsum(steps, axis=0)]))
    return polygons


@pytest.mark.parametrize("size", [48, 200])
def test_the_path_encloses_the_region(size):
    region = ellipse(size, (size * 0.45, size * 0.6), (size * 0.3, size * 0.2))
    [polygon] = parse(svg_path(region))
    assert area(polygon) * (size / UNITS) ** 2 == pytest.approx(region.sum(), rel=0.04)
    rows, columns = np.nonzero(region)
    expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    found = np.concatenate([polygon.min(axis=0), polygon.max(axis=0)]) * size / UNITS
    np.testing.assert_allclose(found, expected, atol=1)


def test_a_region_at_the_edge_is_closed():
    region = np.ones((10, 10), bool)
    [polygon] = outlines(region)
    assert polygon.min() == pytest.approx(0.0)
    assert polygon.max() == pytest.approx(10.0)
    np.testing.assert_array_equal(polygon[0], polygon[-1])


def test_a_hole_has_its_own_outline():
    region = ellipse(64, (32, 32), (25, 25)) & ~ellipse(64, (32, 32), (10, 10))
    outer, inner = parse(svg_path(region))
    assert area(outer) > area(inner)
    enclosed = (area(outer) - area(inner)) * (64 / UNITS) ** 2
    assert enclosed == pytest.approx(region.sum(), rel=0.06)


def test_an_empty_region_has_an_empty_path():
    assert svg_path(np.zeros((8, 8), bool)) == ""


def test_a_single_pixel_has_an_outline():
    region = np.zeros((9, 9), bool)
    region[4, 2] = True
    [polygon] = outlines(region)
    np.testing.assert_allclose(polygon.mean(axis=0), [2.5, 4.5], atol=0.2)


def test_only_the_largest_of_many_crumbs_are_kept():
    region = np.zeros((64, 64), bool)
    region[::4, ::4] = True
    region[20:40, 20:40] = True
    found = outlines(region)
    assert len(found) == MOST_PARTS
    assert np.ptp(found[0], axis=0).min() >= 20


def test_paths_are_short():
    region = ellipse(512, (256, 256), (140, 130))
    assert len(svg_path(region)) < 400


def test_label_maps_are_read_as_they_are(tmp_path):
    labels = np.array([[0, 1], [2, 0]], dtype=np.uint8)
    Image.fromarray(labels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), labels)


def test_crumbs_are_dropped_before_they_take_time(monkeypatch):
    simplified = []

    def count(contour, tolerance):
        simplified.append(contour)
        return contour

    monkeypatch.setitem(outlines.__globals__, "approximate_polygon", count)
    region = np.zeros((64, 64), bool)
    region[1::4, 1::4] = True
    region[40:60, 40:60] = True
    found = outlines(region)
    assert len(found) == len(simplified) == MOST_PARTS
    assert np.ptp(found[0], axis=0).tolist() == [20.0, 20.0]
