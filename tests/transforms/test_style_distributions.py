# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the strong view draws: distributions, probabilities, structure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from grata_monai.transforms.style import STYLE_OPERATIONS, StrongView

DRAWS = 4000
PROBABILITIES = {"brightness": 0.75, "contrast": 0.75, "gamma": 0.75, "noise": 0.5, "blur": 0.5}
LEAST_P = 1e-3  # the seed is fixed, so this either holds or not


@pytest.fixture(scope="module")
def drawn():
    return StrongView().draw((DRAWS, 3), torch.Generator().manual_seed(2024))


def halves(low, high):
    """Distribution function of U(low, 1) or U(1, high), one as likely as the other."""
    return lambda x: np.where(
        x < 1, 0.5 * (x - low) / (1 - low), 0.5 + 0.5 * (x - 1) / (high - 1)
    ).clip(0, 1)


def p_value(values, distribution):
    return stats.kstest(np.asarray(values).ravel(), distribution).pvalue


def test_brightness_is_uniform_for_every_channel(drawn):
    for channel in drawn.brightness.T:
        assert p_value(channel, stats.uniform(0.5, 1.0).cdf) > LEAST_P


def test_contrast_is_half_below_and_half_above_one(drawn):
    for channel in drawn.contrast.T:
        assert p_value(channel, halves(0.5, 1.5)) > LEAST_P
    lopsided = StrongView(contrast_range=(0.25, 3.0)).draw(
        (DRAWS, 3), torch.Generator().manual_seed(1)
    )
    assert p_value(lopsided.contrast, halves(0.25, 3.0)) > LEAST_P
    assert p_value(lopsided.contrast, stats.uniform(0.25, 2.75).cdf) < 1e-9


def test_gamma_is_half_below_and_half_above_one(drawn):
    for channel in drawn.gamma.T:
        assert p_value(channel, halves(0.5, 2.0)) > LEAST_P
    assert p_value(drawn.gamma, stats.uniform(0.5, 1.5).cdf) < 1e-9
    below = int((drawn.gamma < 1).sum())
    assert stats.binomtest(below, 3 * DRAWS, 0.5).pvalue > LEAST_P


def test_range_on_one_side_of_one_is_uniform():
    strong = StrongView(contrast_range=(1.2, 1.5), gamma_range=(0.5, 0.9))
    drawn = strong.draw((DRAWS, 1), torch.Generator().manual_seed(4))
    assert p_value(drawn.contrast, stats.uniform(1.2, 0.3).cdf) > LEAST_P
    assert p_value(drawn.gamma, stats.uniform(0.5, 0.4).cdf) > LEAST_P


def test_noise_std_is_uniform_and_one_per_sample(drawn):
    assert drawn.noise_std.shape == (DRAWS,)
    assert p_value(drawn.noise_std, stats.uniform(0.0, 0.05).cdf) > LEAST_P
    assert len(set(drawn.noise_seed.tolist())) == DRAWS


def test_blur_sigma_is_uniform_where_a_channel_is_chosen_and_zero_elsewhere(drawn):
    chosen = drawn.blur_sigma > 0
    assert p_value(drawn.blur_sigma[chosen], stats.uniform(0.5, 1.0).cdf) > LEAST_P
    assert stats.binomtest(int(chosen.sum()), chosen.numel(), 0.5).pvalue > LEAST_P
    number = chosen.sum(1).bincount(minlength=4)  # channels are chosen independently
    expected = DRAWS * np.array([1, 3, 3, 1]) / 8
    assert stats.chisquare(number.numpy(), expected).pvalue > LEAST_P


@pytest.mark.parametrize("name", STYLE_OPERATIONS)
def test_probability_of_each_operation(drawn, name):
    applied = drawn.applied[:, STYLE_OPERATIONS.index(name)]
    assert stats.binomtest(int(applied.sum()), DRAWS, PROBABILITIES[name]).pvalue > LEAST_P


def test_operations_and_channels_are_drawn_independently(drawn):
    columns = torch.cat(
        [
            drawn.applied,
            drawn.brightness,
            drawn.contrast,
            drawn.gamma,
            drawn.noise_std[:, None],
            drawn.blur_sigma,
        ],
        dim=1,
    )
    correlation = np.corrcoef(columns.double().numpy().T)
    np.fill_diagonal(correlation, 0)
    assert abs(correlation).max() < 4.5 / np.sqrt(DRAWS)


def test_probability_that_nothing_happens():
    many = 200_000
    drawn = StrongView().draw((many, 3), torch.Generator().manual_seed(7))
    untouched = ~drawn.applied[:, :4].any(1)
    untouched &= ~(drawn.applied[:, 4, None] & (drawn.blur_sigma > 0)).any(1)
    expected = 0.25**3 * 0.5 * (0.5 + 0.5 / 8)
    assert expected == pytest.approx(0.0044, abs=5e-5)
    assert stats.binomtest(int(untouched.sum()), many, expected).pvalue > LEAST_P


def test_always_applies_everything_to_every_image_and_channel():
    drawn = StrongView(always=True).draw((500, 3), torch.Generator().manual_seed(0))
    assert drawn.applied.all()
    assert (drawn.blur_sigma >= 0.5).all()


def test_probabilities_zero_and_one():
    names = [f"{name}_probability" for name in STYLE_OPERATIONS]
    generator = torch.Generator().manual_seed(0)
    assert not StrongView(**dict.fromkeys(names, 0.0)).draw((500, 3), generator).applied.any()
    assert StrongView(**dict.fromkeys(names, 1.0)).draw((500, 3), generator).applied.all()
    only = StrongView(**{**dict.fromkeys(names, 0.0), "gamma_probability": 1.0})
    assert only.draw((9, 3), generator).applied.sum(0).tolist() == [0, 0, 9, 0, 0]


def test_noise_in_the_image_has_the_drawn_std_in_all_channels():
    names = [f"{name}_probability" for name in STYLE_OPERATIONS]
    strong = StrongView(**{**dict.fromkeys(names, 0.0), "noise_probability": 1.0})
    images = torch.zeros(3, 3, 64, 64)
    images[:, 0, 0, 0] = 1000.0  # fixes the scale of the final rescaling
    drawn = strong.draw(images.shape, torch.Generator().manual_seed(12))
    noise = strong.apply(images, drawn).double()[:, :, 1:] * 1000
    stds = noise.flatten(2).std(2)
    wanted = drawn.noise_std[:, None].expand(3, 3)
    tolerance = 4.5 / np.sqrt(2 * 63 * 64) + 1e-3
    assert ((stds / wanted - 1).abs() < tolerance).all()
