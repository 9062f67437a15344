# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Weights by entropy and mixtures of predictions against plain double-precision routes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from grata_monai.functional import balanced_entropy, mean_entropy, min_max, mixture_logits
from grata_monai.functional.ensembles import inverse_weights, power_weights


def entropy_of(logit):
    p = 1.0 / (1.0 + math.exp(-logit))
    return -p * math.log(p) - (1.0 - p) * math.log(1.0 - p)


def test_balanced_entropy_gives_both_sides_half():
    values = [4.0, -1.0, -2.0, -3.0]
    expected = 0.5 * entropy_of(4.0) + 0.5 * sum(map(entropy_of, values[1:])) / 3
    found = balanced_entropy(torch.tensor(values).view(1, 1, 2, 2))
    assert found.shape == (1, 1)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_balanced_entropy_is_the_plain_mean_if_one_side_is_empty(sign):
    values = [1.0, 2.0, 3.0, 4.0]
    expected = sum(map(entropy_of, values)) / 4
    logits = sign * torch.tensor(values).view(1, 1, 4)
    assert balanced_entropy(logits).item() == pytest.approx(expected, rel=1e-5)
    assert mean_entropy(logits).item() == pytest.approx(expected, rel=1e-5)


def test_entropies_keep_images_and_channels_apart(generator):
    logits = 3 * torch.randn(2, 3, 4, 5, generator=generator)
    for entropy in (balanced_entropy, mean_entropy):
        found = entropy(logits)
        alone = [[entropy(logits[b : b + 1, c : c + 1]).item() for c in range(3)] for b in range(2)]
        np.testing.assert_allclose(found, alone, rtol=1e-5)


def test_saturated_predictions_have_no_entropy_and_no_nan():
    logits = torch.tensor([1e4, -1e4, -1e4, 1e4]).view(1, 1, 4)
    assert balanced_entropy(logits).item() == 0.0


def test_min_max():
    values = torch.tensor([[1.0, 5.0], [3.0, 5.0], [2.0, 5.0]])
    assert min_max(values).tolist() == [[0.0, 0.0], [1.0, 0.0], [0.5, 0.0]]


def test_mixture_is_the_logit_of_the_weighted_probability(generator):
    logits = 3 * torch.randn(4, 2, 5, generator=generator, dtype=torch.float64)
    weights = torch.rand(4, 2, 1, generator=generator, dtype=torch.float64).softmax(0)
    p = (weights.numpy() / (1 + np.exp(-logits.numpy()))).sum(0)
    np.testing.assert_allclose(mixture_logits(logits, weights), np.log(p / (1 - p)), rtol=1e-9)


def test_mixture_is_finite_and_exact_far_out():
    logits = torch.tensor([[500.0, -500.0], [500.0, -300.0]])
    weights = torch.tensor([[0.5], [0.5]])
    found = mixture_logits(logits, weights)
    assert found.tolist() == pytest.approx([500.0, -300.0 - math.log(2)])
    alone = mixture_logits(logits, torch.tensor([[1.0], [0.0]]))
    assert torch.equal(alone, logits[0])


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0, 16.0])
def test_weights_are_powers_that_sum_to_one(generator, power):
    values = torch.rand(4, 2, 3, generator=generator, dtype=torch.float64)
    for weights, exponent in ((power_weights, power), (inverse_weights, -power)):
        raw = values.numpy() ** exponent
        np.testing.assert_allclose(weights(values, power), raw / raw.sum(0), rtol=1e-9)


def test_weights_of_nothing_are_equal_and_others_stay_apart():
    values = torch.tensor([[0.0, 0.0, 0.0], [0.0, 3.0, 1e-20]])
    expected = torch.tensor([[0.5, 0.0, 0.0], [0.5, 1.0, 1.0]])
    assert torch.equal(power_weights(values, 16.0), expected)
    assert torch.equal(power_weights(values, 0.0), torch.full((2, 3), 0.5))


def test_inverse_weights_at_zero_and_beyond_all_numbers():
    distances = torch.tensor([[0.0, torch.inf, 0.0, torch.nan], [2.0, 1.0, 0.0, 1.0]])
    found = inverse_weights(distances, 2.0)
    torch.testing.assert_close(found[0], torch.tensor([1.0, 0.5, 0.5, 0.5]))
    torch.testing.assert_close(found.sum(0), torch.ones(4))


def test_large_powers_neither_overflow_nor_vanish():
    values = torch.tensor([1e-3, 1e-3, 9e-4])
    torch.testing.assert_close(power_weights(values, 1e4), torch.tensor([0.5, 0.5, 0.0]))
    torch.testing.assert_close(inverse_weights(1 / values, 1e4), torch.tensor([0.5, 0.5, 0.0]))
