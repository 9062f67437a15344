# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Blind spots: how many, how far, from the clean image, in all channels alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grata_monai.transforms.degrade import corrupt_blind_spots, draw_blind_spots


def coordinates(indices, size):
    return np.stack(np.unravel_index(indices.numpy(), size))


@pytest.mark.parametrize("size", [(17, 23), (5, 6, 7)])
def test_exactly_a_tenth_is_drawn_and_neighbours_lie_within_two_pixels(size, generator):
    positions, neighbours = draw_blind_spots(size, generator)
    assert len(positions) == len(neighbours) == int(0.1 * np.prod(size))
    difference = coordinates(neighbours, size) - coordinates(positions, size)
    for along, side in zip(difference, size, strict=True):
        wrapped = (along + side // 2) % side - side // 2
        assert np.abs(wrapped).max() <= 2


def test_offsets_are_uniform_and_positions_everywhere(generator):
    """Chi-squared of 25 offsets: mean 24, standard deviation 7; of 64 positions: 63 and 11."""
    size = (8, 8)
    draws = [draw_blind_spots(size, generator, fraction=1.0) for _ in range(200)]
    positions, neighbours = (torch.cat(parts) for parts in zip(*draws, strict=True))
    difference = coordinates(neighbours, size) - coordinates(positions, size)
    wrapped = (difference + 4) % 8 - 4
    counts = np.bincount(5 * (wrapped[0] + 2) + wrapped[1] + 2, minlength=25)
    expected = len(positions) / 25
    assert ((counts - expected) ** 2 / expected).sum() < 24 + 5 * 7
    counts, expected = np.bincount(positions, minlength=64), len(positions) / 64
    assert ((counts - expected) ** 2 / expected).sum() < 63 + 5 * 11


def test_corruption_written_as_a_loop(generator):
    images = torch.rand(2, 3, 9, 11, generator=generator)
    kept = images.clone()
    corrupted, drawn = corrupt_blind_spots(images, torch.Generator().manual_seed(7), fraction=0.5)
    again = torch.Generator().manual_seed(7)
    expected, marks = images.clone(), torch.zeros(2, 1, 9, 11, dtype=torch.bool)
    for image in range(2):
        positions, neighbours = draw_blind_spots((9, 11), again, fraction=0.5)
        for position, neighbour in zip(positions.tolist(), neighbours.tolist(), strict=True):
            row, column = divmod(position, 11)
            expected[image, :, row, column] = images[image, :, neighbour // 11, neighbour % 11]
            marks[image, 0, row, column] = True
    assert torch.equal(corrupted, expected)
    assert torch.equal(drawn, marks)
    assert torch.equal(images, kept)
    assert not torch.equal(drawn[0], drawn[1])


def test_borders_wrap(generator):
    """In 5x5 the first row reaches the last two, 15 to 24, only across the border."""
    images = torch.arange(25.0).reshape(1, 1, 5, 5)
    draws = [corrupt_blind_spots(images, generator, fraction=1.0)[0] for _ in range(60)]
    first_row = torch.stack(draws)[:, 0, 0, 0]
    assert set(first_row[first_row >= 15].tolist()) == set(range(15, 25))


@pytest.mark.parametrize(("fraction", "radius"), [(0.0, 2), (1.0, 0)])
def test_nothing_changes_without_draws_or_without_radius(fraction, radius, generator):
    images = torch.rand(1, 3, 6, 6, generator=generator)
    corrupted, drawn = corrupt_blind_spots(images, generator, fraction=fraction, radius=radius)
    assert torch.equal(corrupted, images)
    assert drawn.any().item() == (fraction > 0)
