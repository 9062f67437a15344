# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Statistics of activations against numpy and torch's own batch normalization."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import batch_norm

from grata_monai.functional import batch_statistics, median_statistics, mix, normalize

SHAPES = [(1, 3, 5, 4), (2, 3, 3, 4, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("unbiased", [False, True])
def test_batch_statistics(shape, unbiased, generator):
    activations = torch.randn(shape, generator=generator)
    rows = np.moveaxis(activations.double().numpy(), 1, 0).reshape(3, -1)
    found = batch_statistics(activations, unbiased=unbiased)
    np.testing.assert_allclose(found.mean, rows.mean(1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.variance, rows.var(1, ddof=int(unbiased)), rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_normalize_is_batch_norm(shape, generator):
    activations = torch.randn(shape, generator=generator)
    weight, bias = torch.randn(2, 3, generator=generator)
    found = normalize(activations, batch_statistics(activations), weight, bias, 1e-5)
    expected = batch_norm(activations, None, None, weight, bias, True, 0.0, 1e-5)
    torch.testing.assert_close(found, expected)


def test_normalize_without_scale_and_shift(generator):
    activations = torch.randn(1, 3, 4, 4, generator=generator)
    found = normalize(activations, batch_statistics(activations), None, None, 1e-5)
    expected = batch_norm(activations, None, None, None, None, True, 0.0, 1e-5)
    torch.testing.assert_close(found, expected)


def test_median_is_the_lower_middle_and_variance_is_around_it():
    statistics = median_statistics(torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 2, 2))
    assert statistics.mean.item() == 2.0
    assert statistics.variance.item() == pytest.approx((1 + 0 + 1 + 4) / 4)


def test_median_of_a_sparse_channel_is_zero():
    values = torch.tensor([0.0, 0.0, 0.0, 7.0, 8.0]).view(1, 1, 5, 1)
    assert median_statistics(values).mean.item() == 0.0


def test_strided_median_is_around_all_values(generator):
    activations = torch.randn(2, 3, 7, 5, generator=generator)
    found = median_statistics(activations, stride=3)
    for channel, rows in enumerate(np.moveaxis(activations.double().numpy(), 1, 0)):
        some = np.sort(rows[:, ::3, ::3].ravel())
        median = some[(len(some) - 1) // 2]
        assert found.mean[channel].item() == pytest.approx(median)
        assert found.variance[channel].item() == pytest.approx(((rows - median) ** 2).mean())


def test_mix():
    a = batch_statistics(torch.tensor([0.0, 2.0]).view(1, 1, 2, 1))
    b = batch_statistics(torch.tensor([4.0, 8.0]).view(1, 1, 2, 1))
    mixed = mix(a, b, 0.75)
    assert mixed.mean.item() == pytest.approx(0.75 * 1 + 0.25 * 6)
    assert mixed.variance.item() == pytest.approx(0.75 * 1 + 0.25 * 4)
