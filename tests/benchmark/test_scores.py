# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Scores against plain counting and against distances by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt

from grata_monai.benchmark.memory import PeakMemory
from grata_monai.benchmark.scores import score

EPSILON = 1e-6


def masks(seed, size=24):
    """Return a nested disc and cup, as booleans 2xHxW."""
    generator = np.random.default_rng(seed)
    row, column = generator.uniform(9, 15, size=2)
    radius = generator.uniform(4, 8)
    grid = np.mgrid[:size, :size]
    distance = np.hypot(grid[0] - row, grid[1] - column)
    return np.stack([distance < radius, distance < 0.6 * radius])


def scored(prediction, truth):
    logits = torch.tensor(np.where(prediction, 3.0, -3.0))[None].float()
    return score(logits, torch.tensor(truth)[None].float())


def surface(mask):
    return mask & ~binary_erosion(mask)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_against_plain_numpy(seed):
    prediction, truth = masks(seed), masks(seed + 10)
    values = scored(prediction, truth).values
    for channel, part in enumerate(("disc", "cup")):
        a, b = prediction[channel], truth[channel]
        dice = (2 * (a & b).sum() + EPSILON) / (a.sum() + b.sum() + EPSILON) * 100
        assert values[f"dice_{part}"] == pytest.approx(dice, abs=1e-6)
        there = distance_transform_edt(~surface(b))[surface(a)]
        back = distance_transform_edt(~surface(a))[surface(b)]
        assert values[f"asd_{part}"] == pytest.approx(there.mean(), rel=1e-5)
        both = np.concatenate([there, back]).mean()
        assert values[f"assd_{part}"] == pytest.approx(both, rel=1e-5)
    height = [
        [np.ptp(np.flatnonzero(m.any(axis=1))) + 1 for m in pair] for pair in (prediction, truth)
    ]
    ratios = [cup / disc for disc, cup in height]
    assert values["vcdr"] == pytest.approx(ratios[0], abs=1e-6)
    assert values["vcdr_true"] == pytest.approx(ratios[1], abs=1e-6)
    assert values["vcdr_error"] == pytest.approx(abs(ratios[0] - ratios[1]), abs=1e-6)


def test_both_empty_is_100_and_one_empty_is_0():
    truth = masks(0)
    empty_cup = truth.copy()
    empty_cup[1] = False
    values = scored(empty_cup, empty_cup).values
    assert values["dice_cup"] == 100.0
    assert math.isnan(values["assd_cup"])
    assert math.isnan(values["asd_cup"])
    values = scored(empty_cup, truth).values
    assert values["dice_cup"] == pytest.approx(0.0, abs=1e-5)
    assert math.isnan(values["assd_cup"])
    assert values["assd_disc"] == 0.0


def test_a_prediction_without_disc_has_no_ratio_but_the_full_error():
    truth = masks(1)
    values = scored(np.zeros_like(truth), truth).values
    assert math.isnan(values["vcdr"])
    assert values["vcdr_error"] == pytest.approx(values["vcdr_true"])


def test_a_probability_of_one_half_is_foreground():
    found = score(torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4))
    assert found.values["dice_disc"] == 100.0
    assert found.mask.shape == (2, 4, 4)


def test_peak_memory_begins_anew_and_sees_what_is_allocated():
    memory = PeakMemory(torch.device("cpu"))
    memory.start()
    before = memory.read()
    block = np.ones(2**24)  # 128 MiB, touched
    after = memory.read()
    assert block.sum() == 2**24
    assert before > 0
    assert after >= before
