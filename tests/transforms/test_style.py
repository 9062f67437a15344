# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The strong view: arithmetic, determinism and edge cases."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from grata_monai.transforms.style import STYLE_OPERATIONS, StrongView, StyleParameters


def parameters(*names, batch=2, channels=3):
    """Fixed parameters with only the named operations applied."""
    factor = torch.linspace(0.6, 1.4, batch * channels, dtype=torch.float64)
    return StyleParameters(
        applied=torch.tensor([[name in names for name in STYLE_OPERATIONS]] * batch),
        brightness=factor.reshape(batch, channels),
        contrast=factor.flip(0).reshape(batch, channels),
        gamma=(factor + 0.3).reshape(batch, channels),
        noise_std=torch.linspace(0.01, 0.05, batch, dtype=torch.float64),
        noise_seed=torch.arange(batch) + 11,
        blur_sigma=(factor.reshape(batch, channels) * (torch.arange(channels) != 1)),
    )


def expected_view(image, given, sample):
    """Section by section what the table of the operations says, in float64."""
    result = image.double().numpy().copy()
    applied = dict(zip(STYLE_OPERATIONS, given.applied[sample].tolist(), strict=True))
    pick = {name: getattr(given, name)[sample].tolist() for name in ("brightness", "contrast")}
    for c, channel in enumerate(result):
        if applied["brightness"]:
            channel *= pick["brightness"][c]
        if applied["contrast"]:
            low, high, mean = channel.min(), channel.max(), channel.mean()
            channel[:] = np.clip((channel - mean) * pick["contrast"][c] + mean, low, high)
        if applied["gamma"]:
            negative = -channel
            low, span = negative.min(), np.ptp(negative) + 1e-7
            gamma = given.gamma[sample, c].item()
            channel[:] = -(((negative - low) / span) ** gamma * span + low)
    if applied["noise"]:
        field = torch.empty(image.shape).normal_(
            0,
            given.noise_std[sample].item(),
            generator=torch.Generator().manual_seed(int(given.noise_seed[sample])),
        )
        result += field.double().numpy()
    if applied["blur"]:
        for c in range(len(result)):
            sigma = given.blur_sigma[sample, c].item()
            result[c] = gaussian_filter(result[c], sigma) if sigma > 0 else result[c]
    return (result - result.min()) / np.ptp(result)


@pytest.mark.parametrize("names", [*[(name,) for name in STYLE_OPERATIONS], STYLE_OPERATIONS, ()])
def test_apply_equals_the_table_in_float64(names, generator):
    images = torch.rand(2, 3, 20, 17, generator=generator)
    given = parameters(*names)
    result = StrongView().apply(images, given)
    for sample in range(2):
        expected = expected_view(images[sample], given, sample)
        np.testing.assert_allclose(result[sample].numpy(), expected, atol=5e-6)


def test_order_matters_so_the_chain_test_can_fail(generator):
    image = torch.rand(3, 20, 17, generator=generator)
    given = parameters(*STYLE_OPERATIONS)
    gamma_first = StrongView().apply(image[None], parameters("gamma", batch=2)[:1])
    rest = StrongView().apply(
        gamma_first, replace(given, applied=torch.tensor([[1, 1, 0, 1, 1]] * 2).bool())[:1]
    )
    assert abs(rest[0].numpy() - expected_view(image, given, 0)).max() > 0.01


def test_a_batch_is_its_samples_one_by_one(generator):
    images = torch.rand(4, 3, 12, 12, generator=generator)
    strong = StrongView()
    drawn = strong.draw(images.shape, generator)
    batch = strong.apply(images, drawn)
    singles = [strong.apply(images[i : i + 1], drawn[i : i + 1]) for i in range(4)]
    torch.testing.assert_close(batch, torch.cat(singles), atol=1e-6, rtol=0)


def test_a_batch_draws_what_its_samples_would_draw_in_turn():
    strong = StrongView()
    together = strong.draw((5, 3), torch.Generator().manual_seed(3))
    in_turn = torch.Generator().manual_seed(3)
    for i in range(5):
        alone = strong.draw((1, 3), in_turn)
        for name in vars(alone):
            assert torch.equal(getattr(together[i : i + 1], name), getattr(alone, name)), name


def test_same_seed_same_bits_and_another_seed_others():
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(9))
    views = [
        StrongView(always=True)(images, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    ]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_consecutive_views_differ_in_their_noise(generator):
    only_noise = dict.fromkeys([f"{n}_probability" for n in STYLE_OPERATIONS], 0.0)
    strong = StrongView(**{**only_noise, "noise_probability": 1.0})
    images = torch.rand(2, 1, 16, 16, generator=generator)
    first, second = strong(images, generator), strong(images, generator)
    assert not torch.equal(first, second)
    field = (first - images).flatten(1)
    assert abs(np.corrcoef(field.numpy())[0, 1]) < 0.3  # two samples, two fields


def test_global_random_states_and_input_are_left_alone(generator):
    images = torch.rand(2, 3, 16, 16, generator=generator)
    before = images.clone()
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    StrongView(always=True)(images, generator)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2]


def test_nothing_applied_is_the_image_in_new_memory():
    images = torch.linspace(0, 1, 48).reshape(1, 3, 4, 4)
    result = StrongView().apply(images, parameters(batch=1))
    assert torch.equal(result, images)
    assert result.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_constant_image_is_finite(value, generator):
    images = torch.full((1, 3, 8, 8), value)
    for always in (True, False):
        view = StrongView(always=always)(images, generator)
        assert torch.isfinite(view).all()
        assert view.min() >= 0
        assert view.max() <= 1
    assert torch.equal(StrongView().apply(images, parameters(batch=1)), torch.zeros(1, 3, 8, 8))


def test_output_spans_zero_to_one_and_carries_no_gradient_history(generator):
    view = StrongView()(torch.rand(3, 3, 8, 8, generator=generator) * 0.5, generator)
    assert torch.equal(view.amin((1, 2, 3)), torch.zeros(3))
    assert torch.equal(view.amax((1, 2, 3)), torch.ones(3))
    assert not view.requires_grad


@pytest.mark.parametrize("shape", [(1, 1, 9, 8), (2, 4, 5, 6, 7), (1, 3, 2, 2)])
def test_any_number_of_channels_and_volumes(shape, generator):
    view = StrongView(always=True)(torch.rand(shape, generator=generator), generator)
    assert view.shape == shape
    assert torch.isfinite(view).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma_probability": 1.2}, r"'gamma_probability' parameter of StrongView .* in \[0, 1\]"),
        ({"gamma_range": (0.0, 2.0)}, r"'gamma_range' .* with 0 < low <= high. Got \(0.0, 2.0\)"),
        ({"contrast_range": (1.5, 0.5)}, r"'contrast_range' .* with 0 <= low <= high"),
        ({"noise_std_range": 0.05}, r"'noise_std_range' .* two numbers \(low, high\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        StrongView(**arguments)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_parameters_are_the_same_and_runs_repeat():
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    strong = StrongView(always=True, noise_std_range=(0.0, 0.0))
    here = strong(images, torch.Generator().manual_seed(2))
    there = strong(images.cuda(), torch.Generator().manual_seed(2))
    assert there.is_cuda
    torch.testing.assert_close(there.cpu(), here, atol=1e-5, rtol=0)
    noisy = [
        StrongView(always=True)(images.cuda(), torch.Generator().manual_seed(2)) for _ in range(2)
    ]
    assert torch.equal(noisy[0], noisy[1])
