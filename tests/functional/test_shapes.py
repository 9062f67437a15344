# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Likeness to an ellipse: hand cases, scikit-image's moments, and what must lower it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.measure import regionprops

from grata_monai.functional.shapes import ellipse_likeness


def likeness(mask):
    return ellipse_likeness(torch.as_tensor(mask, dtype=torch.bool)[None, None]).item()


def ball(size, radius, *, dims=2, stretch=1.0):
    axes = list(np.meshgrid(*[np.arange(size) - (size - 1) / 2] * dims, indexing="ij"))
    axes[0] = axes[0] / stretch
    return sum(axis**2 for axis in axes) <= radius**2


def likeness_from_moments(mask):
    """Draw the ellipse of scikit-image's axes and orientation; its moments lack the pixel's own."""
    (region,) = regionprops(mask.astype(int))
    major, minor = region.axis_major_length**2 / 16, region.axis_minor_length**2 / 16
    major, minor = major + 1 / 12, minor + 1 / 12
    rows, columns = np.indices(mask.shape)
    rows, columns = rows - region.centroid[0], columns - region.centroid[1]
    turn = region.orientation
    along = rows * math.cos(turn) + columns * math.sin(turn)
    across = columns * math.cos(turn) - rows * math.sin(turn)
    ellipse = along**2 / major + across**2 / minor <= 4
    overlap = (mask & ellipse).sum() / (mask | ellipse).sum()
    return overlap * math.sqrt(math.sqrt(minor / major))


def random_blobs(generator, size=32):
    noise = torch.rand(1, 1, 9, 9, generator=generator)
    smooth = torch.nn.functional.interpolate(noise, size, mode="bilinear", align_corners=True)
    return (smooth[0, 0] > 0.6).numpy()


def test_against_the_moments_of_scikit_image(generator):
    masks = [random_blobs(generator) for _ in range(6)]
    masks += [ball(32, 6, stretch=1.7), ball(32, 9).T, np.rot90(ball(32, 4, stretch=2.5))]
    expected = [likeness_from_moments(mask) for mask in masks]
    found = ellipse_likeness(torch.tensor(np.stack(masks))[None])
    assert found.shape == (1, len(masks))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    assert len({round(value, 3) for value in expected}) == len(masks)


def test_lines_by_hand():
    """A line of 4: variance 15/12 + 1/12 along, 1/12 across; a volume's line of 8: 16/3, 1/12."""
    line = np.zeros((9, 12), bool)
    line[4, 3:7] = True
    assert likeness(line) == pytest.approx((1 / 16) ** 0.25)
    volume = np.zeros((5, 5, 16), bool)
    volume[2, 2, 4:12] = True  # the ellipsoid of 5 * 16/3 reaches 5.16 from the middle: 10 voxels
    assert likeness(volume) == pytest.approx(8 / 10 * (1 / 64) ** 0.25)


def test_a_hole_by_hand():
    mask = np.zeros((11, 11), bool)
    mask[3:8, 3:8] = True
    assert likeness(mask) == 1.0
    mask[5, 5] = False
    assert likeness(mask) == pytest.approx(24 / 25)


@pytest.mark.parametrize("dims", [2, 3])
def test_balls_are_perfect_and_everything_else_is_less(dims):
    size = 24
    whole = ball(size, 6, dims=dims)
    assert likeness(whole) > 0.97
    center = (slice(size // 2 - 2, size // 2 + 2),) * dims
    crumb, hole, bay, half = (whole.copy() for _ in range(4))
    crumb[(slice(0, 3),) * dims] = True
    hole[center] = False
    bay[center[0], ..., size // 2 :] = False
    half[: size // 2] = False
    for changed in (crumb, hole, bay, half):
        assert likeness(changed) < likeness(whole) - 0.02
    assert likeness(ball(size, 4, dims=dims, stretch=2.0)) == pytest.approx(
        math.sqrt(0.5), rel=0.05
    )


def test_a_larger_crumb_lowers_it_more():
    values = []
    for size in range(5):
        mask = ball(32, 7)
        mask[:size, :size] = True
        values.append(likeness(mask))
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.5


@pytest.mark.parametrize("count", [0, 3, 4])
def test_hardly_anything_is_nothing(count):
    mask = torch.zeros(2, 3, 8, 8, dtype=torch.bool)
    mask[1, 2].view(-1)[:count] = True
    found = ellipse_likeness(mask)
    assert found.shape == (2, 3)
    assert bool(torch.isfinite(found).all())
    assert (found[1, 2] > 0).item() == (count == 4)
    assert int((found > 0).sum()) == int(count == 4)


def test_all_pixels_are_no_error():
    assert 0.8 < likeness(np.ones((16, 16), bool)) <= 1.0


def test_shifting_mirroring_and_transposing_change_nothing(generator):
    blob = random_blobs(generator, size=14)
    expected = likeness(np.pad(blob, 12))  # with room for its ellipse
    assert 0.1 < expected < 0.95
    for before, after in ((12, 30), (30, 12), (17, 13)):
        moved = np.pad(blob, ((before, after), (12, 14)))
        assert likeness(moved) == pytest.approx(expected, rel=1e-5)
    for other in (blob[::-1], blob[:, ::-1], blob.T):
        assert likeness(np.pad(other, 12)) == pytest.approx(expected, rel=1e-5)


def test_images_and_channels_are_apart(generator):
    masks = torch.stack([torch.tensor(random_blobs(generator)) for _ in range(6)]).view(
        2, 3, 32, 32
    )
    kept = masks.clone()
    found = ellipse_likeness(masks)
    alone = [[likeness(masks[b, c]) for c in range(3)] for b in range(2)]
    np.testing.assert_allclose(found, alone, rtol=1e-6)
    assert torch.equal(masks, kept)
