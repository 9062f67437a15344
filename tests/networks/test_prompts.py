# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Prompts around a network: formulas channel by channel, and that fresh ones change nothing."""

from __future__ import annotations

import math

import pytest
import torch

from grata_monai.networks.prompts import (
    decorate_input,
    draw_prompts,
    keep_largest,
    modulate_features,
)

SIZES = [(4, 6), (3, 4, 2)]


def prompts_for(size, *, fresh=False, width=5):
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(2, 3, *size, generator=generator, dtype=torch.float64)
    features = torch.randn(2, width, *size, generator=generator, dtype=torch.float64)
    prompts = draw_prompts(images, features, generator, hidden=4)
    if not fresh:
        prompts = {
            name: torch.randn(value.shape, generator=generator, dtype=torch.float64)
            for name, value in prompts.items()
        }
    return images, features, prompts


@pytest.mark.parametrize("size", SIZES)
def test_fresh_prompts_change_nothing(size):
    images, features, prompts = prompts_for(size, fresh=True)
    assert torch.equal(decorate_input(images, prompts), images)
    assert torch.equal(modulate_features(features, prompts), features)


def test_first_values():
    _, _, prompts = prompts_for((4, 6), fresh=True, width=512)
    for name, bound in {"decorator_in": 3**-0.5, "query": 1 / 3, "value": 1 / 3}.items():
        values = prompts[name].abs()
        assert 0.8 * bound < values.max() <= bound, name
    for name in ("decorator_out", "decorator_shift", "shape"):
        assert not prompts[name].any(), name
    assert prompts["shape"].shape == (1, 512, 4, 6)


@pytest.mark.parametrize("size", SIZES)
def test_decorator_pixel_by_pixel(size):
    images, _, prompts = prompts_for(size)
    first, second = prompts["decorator_in"].flatten(1), prompts["decorator_out"].flatten(1)
    for image, found in zip(images, decorate_input(images, prompts), strict=True):
        hidden = first @ image.flatten(1)
        mean, variance = hidden.mean(1, keepdim=True), hidden.var(1, correction=0, keepdim=True)
        hidden = ((hidden - mean) / (variance + 1e-5).sqrt()).clamp(min=0)
        change = second @ hidden + prompts["decorator_shift"][:, None]
        torch.testing.assert_close(found, image + change.view_as(image))


def test_attention_channel_by_channel():
    _, features, prompts = prompts_for((4, 6))

    def filtered(values, kernel):
        """Sum over the 3x3 neighbourhood, zeros outside."""
        padded = torch.zeros(6, 8, dtype=torch.float64)
        padded[1:-1, 1:-1] = values
        total = torch.zeros(4, 6, dtype=torch.float64)
        for row in range(3):
            for column in range(3):
                total += kernel[row, column] * padded[row : row + 4, column : column + 6]
        return total.flatten()

    width, share = 5, 0.4
    keys = [filtered(prompts["shape"][0, j], prompts["key"][j, 0]) for j in range(width)]
    values = [filtered(prompts["shape"][0, j], prompts["value"][j, 0]) for j in range(width)]
    for image, found in zip(
        features, modulate_features(features, prompts, kept_share=share), strict=True
    ):
        queries = [filtered(image[i], prompts["query"][i, 0]) for i in range(width)]
        weights = torch.zeros(width, width, dtype=torch.float64)
        for i in range(width):
            scores = [math.exp(float(queries[i] @ key) / math.sqrt(24)) for key in keys]
            weights[i] = torch.tensor(scores, dtype=torch.float64) / sum(scores)
        for j in range(width):
            weights[weights[:, j].argsort()[:3], j] = 0.0  # two of five are kept
        for i in range(width):
            taken = sum(weights[i, j] * values[j] for j in range(width))
            torch.testing.assert_close(found[i], image[i] + taken.view(4, 6))


def test_columns_keep_a_tenth_of_512():
    weights = torch.rand(1, 512, 512, generator=torch.Generator().manual_seed(0))
    kept = keep_largest(weights, 0.1) > 0
    assert torch.equal(kept.sum(dim=1), torch.full((1, 512), 52))
    assert keep_largest(weights, 1e-9).count_nonzero() == 512
    assert torch.equal(keep_largest(weights, 1.0), weights)


def test_another_size_of_features():
    _, _, prompts = prompts_for((4, 6))
    features = torch.zeros(1, 5, 8, 12, dtype=torch.float64)
    uniform = {**prompts, "shape": torch.ones_like(prompts["shape"])}
    larger = {**prompts, "shape": torch.ones(1, 5, 8, 12, dtype=torch.float64)}
    torch.testing.assert_close(
        modulate_features(features, uniform), modulate_features(features, larger)
    )


def test_gradients_reach_the_fresh_prompt():
    images, features, prompts = prompts_for((4, 6), fresh=True)
    for value in prompts.values():
        value.requires_grad_()
    loss = decorate_input(images, prompts).square().sum()
    loss = loss + modulate_features(features, prompts).square().sum()
    loss.backward()
    for name in ("decorator_out", "decorator_shift", "shape"):
        assert prompts[name].grad.abs().max() > 0, name


def test_half_precise_images_and_features_have_single_precise_prompts():
    images, features, _ = prompts_for((4, 6))
    images, features = images.bfloat16(), features.bfloat16()
    prompts = draw_prompts(images, features, torch.Generator().manual_seed(0), hidden=4)
    assert {value.dtype for value in prompts.values()} == {torch.float32}
    assert decorate_input(images, prompts).dtype is torch.bfloat16
    assert modulate_features(features, prompts).dtype is torch.bfloat16
