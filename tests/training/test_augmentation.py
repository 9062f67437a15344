# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the training augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import Rand2DElasticd, RandFlipd, RandRotated, RandZoomd

from grata_monai.training import source_augmentation

SIZE = 48


def make_item():
    """An off-center ellipse: bright in the image, 1 in both label channels."""
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    mask = ((rows - 16.0) / 9) ** 2 + ((columns - 30.0) / 12) ** 2 < 1
    image = torch.where(mask, 200.0, 40.0).expand(3, SIZE, SIZE)
    return {"image": image.clone(), "label": mask.float().expand(2, SIZE, SIZE).clone()}


def only(kind):
    """The augmentation with one kind of transform, always applied."""
    chosen = [t for t in source_augmentation(SIZE).transforms if isinstance(t, kind)]
    assert chosen
    for transform in chosen:
        transform.prob = 1.0
    return chosen


@pytest.mark.parametrize("kind", [RandFlipd, Rand2DElasticd, RandRotated, RandZoomd])
def test_label_moves_with_its_image(kind):
    moved = 0
    for seed in range(6):
        item = make_item()
        for transform in only(kind):
            item = transform.set_random_state(seed=seed)(item)
        disc = item["image"][0].numpy() > 120
        label = item["label"].numpy()
        assert set(np.unique(label)) <= {0.0, 1.0}
        assert (label[0] == label[1]).all()
        # Half-way between the grey levels is where the nearest neighbor changes, too.
        assert (disc != (label[0] > 0)).mean() < 0.02
        moved += bool((label[0] != make_item()["label"][0].numpy()).any())
    assert moved >= 4


def test_same_seed_same_bits_and_no_global_randomness():
    np.random.seed(5)
    torch.manual_seed(5)
    first = [source_augmentation(SIZE, seed=3)(make_item())["image"] for _ in range(2)]
    np.random.seed(6)
    torch.manual_seed(6)
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    again = source_augmentation(SIZE, seed=3)(make_item())["image"]
    assert torch.equal(first[0], again)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()


def test_frequencies_and_ranges():
    augmentation = source_augmentation(SIZE, seed=0)
    flat = {"image": torch.full((3, SIZE, SIZE), 100.0), "label": torch.zeros(2, SIZE, SIZE)}
    bright, noisy, runs = [], [], 600
    for _ in range(runs):
        image = augmentation({k: v.clone() for k, v in flat.items()})["image"].numpy()
        center = image[:, 12:36, 12:36]
        if center.std(axis=(1, 2)).max() > 1e-2:
            noisy.append(center.std(axis=(1, 2)).mean())
        elif np.abs(center - 100).max() > 1e-2:
            bright.append(center.mean(axis=(1, 2)) / 100)
    # 15 % each; three standard deviations of 600 draws are 4.4 %.
    assert len(noisy) / runs == pytest.approx(0.15, abs=0.045)
    assert len(bright) / runs == pytest.approx(0.15 * 0.85, abs=0.045)
    factors = np.stack(bright)
    assert factors.min() >= 0.7 - 1e-3
    assert factors.max() <= 1.5 + 1e-3
    assert factors.min() < 0.8
    assert factors.max() > 1.4
    assert (np.ptp(factors, axis=1) > 1e-3).all()  # each channel has its own
    assert max(noisy) <= 1.5 * 0.05 * 255
    assert max(noisy) > 0.5 * 0.05 * 255


def test_keeps_shape_and_caller_and_takes_items_without_label():
    augmentation = source_augmentation(SIZE, seed=1)
    for transform in augmentation.transforms:
        transform.prob = 1.0
    item = make_item()
    before = item["image"].clone()
    result = augmentation(item)
    assert result["image"].shape == (3, SIZE, SIZE)
    assert result["label"].shape == (2, SIZE, SIZE)
    assert torch.equal(item["image"], before)
    assert set(augmentation({"image": before})) == {"image"}


@pytest.mark.parametrize("size", [8, 48.0])
def test_rejects_a_wrong_size(size):
    with pytest.raises(ValueError, match="'size' parameter of source_augmentation"):
        source_augmentation(size)
