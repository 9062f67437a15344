# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Intensity changes against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import ScaleIntensity

from grata_monai.functional.intensity import (
    adjust_inverted_gamma,
    rescale_intensity,
    scale_brightness,
    scale_contrast,
)

FACTORS = torch.tensor([[0.6, 1.4, 1.0], [1.2, 0.5, 0.9]])


def numpy_brightness(channel, factor):
    return channel * factor


def numpy_contrast(channel, factor):
    mean = channel.mean()
    return np.clip((channel - mean) * factor + mean, channel.min(), channel.max())


def numpy_inverted_gamma(channel, gamma):
    negative = -channel
    low, span = negative.min(), negative.max() - negative.min() + 1e-7
    return -(((negative - low) / span) ** gamma * span + low)


OPERATIONS = [
    (scale_brightness, numpy_brightness),
    (scale_contrast, numpy_contrast),
    (adjust_inverted_gamma, numpy_inverted_gamma),
]


@pytest.mark.parametrize(("operation", "oracle"), OPERATIONS)
@pytest.mark.parametrize("spatial", [(9, 7), (4, 5, 6)])
def test_operation_equals_numpy_per_channel(operation, oracle, spatial, generator):
    images = torch.rand(2, 3, *spatial, generator=generator)
    before = images.clone()
    changed = operation(images, FACTORS)
    for sample in range(2):
        for channel in range(3):
            expected = oracle(
                images[sample, channel].double().numpy(), FACTORS[sample, channel].item()
            )
            np.testing.assert_allclose(changed[sample, channel].numpy(), expected, atol=2e-6)
    assert torch.equal(images, before)


@pytest.mark.parametrize(("operation", "oracle"), OPERATIONS)
def test_unselected_samples_keep_their_bits(operation, oracle, generator):
    images = torch.rand(2, 3, 6, 6, generator=generator)
    changed = operation(images, FACTORS, torch.tensor([False, True]))
    assert torch.equal(changed[0], images[0])
    torch.testing.assert_close(changed[1:], operation(images[1:], FACTORS[1:]))
    assert not torch.equal(changed[1], images[1])
    assert operation(images, FACTORS, torch.tensor([False, False])) is images


def test_contrast_and_gamma_preserve_the_range_of_each_channel(generator):
    images = (
        torch.rand(2, 3, 6, 6, generator=generator) * torch.tensor([1.0, 2.0, 5.0])[:, None, None]
    )
    for operation in (scale_contrast, adjust_inverted_gamma):
        changed = operation(images, torch.full((2, 3), 1.5))
        torch.testing.assert_close(changed.amin((2, 3)), images.amin((2, 3)), atol=1e-5, rtol=0)
        torch.testing.assert_close(changed.amax((2, 3)), images.amax((2, 3)), atol=1e-5, rtol=0)


def test_inverted_gamma_by_hand():
    images = torch.tensor([0.0, 0.5, 1.0]).reshape(1, 1, 1, 3)
    changed = adjust_inverted_gamma(images, torch.tensor([[2.0]]))
    assert changed.flatten().tolist() == pytest.approx([0.0, 0.75, 1.0], abs=1e-6)


@pytest.mark.parametrize("operation", [scale_brightness, scale_contrast, adjust_inverted_gamma])
def test_constant_channels_stay_finite(operation):
    changed = operation(torch.full((2, 3, 4, 4), 0.3), FACTORS)
    assert torch.isfinite(changed).all()


def test_operations_reject_what_does_not_fit():
    images = torch.rand(2, 3, 4, 4)
    with pytest.raises(TypeError, match=r"must be floating point, got torch\.uint8"):
        scale_brightness(images.byte(), FACTORS)
    with pytest.raises(ValueError, match=r"'factors' must hold one value per sample and channel"):
        scale_contrast(images, FACTORS[:, :2])
    with pytest.raises(ValueError, match="'selected' must hold one boolean per sample"):
        adjust_inverted_gamma(images, FACTORS, torch.ones(3, dtype=torch.bool))


def test_rescale_is_per_sample_over_all_channels_and_equals_monai(generator):
    images = torch.randn(3, 2, 5, 4, generator=generator) * 7
    before = images.clone()
    rescaled = rescale_intensity(images)
    for given, result in zip(images, rescaled, strict=True):
        assert torch.equal(result, torch.as_tensor(ScaleIntensity()(given)))
        assert result.min() == 0
        assert result.max() == 1
    assert not torch.equal(rescaled[:, 0].amin((1, 2)), torch.zeros(3))  # not per channel
    assert torch.equal(images, before)


def test_rescale_of_a_constant_sample_is_zero_and_leaves_the_others():
    images = torch.stack([torch.full((2, 3, 3), 0.7), torch.arange(18.0).reshape(2, 3, 3)])
    rescaled = rescale_intensity(images)
    assert torch.equal(rescaled[0], torch.zeros(2, 3, 3))
    torch.testing.assert_close(rescaled[1], images[1] / 17)


def test_rescale_works_on_transposed_memory(generator):
    images = torch.rand(2, 3, 4, 5, generator=generator)
    assert torch.equal(
        rescale_intensity(images.transpose(2, 3)), rescale_intensity(images).transpose(2, 3)
    )
