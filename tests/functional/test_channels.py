# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Channel statistics and their transfer against plain double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grata_monai.functional.channels import ChannelStatistics, channel_statistics, match_channels

TARGET = ChannelStatistics(torch.tensor([0.7, 0.4, 0.1]), torch.tensor([0.05, 0.3, 0.2]))


def plain(image, target, strength):
    result = np.empty(image.shape)
    for channel, values in enumerate(image[0].double().numpy()):
        mean, deviation = values.mean(), values.std()
        goal, wide = float(target.mean[channel]), float(target.deviation[channel])
        scale = (wide / deviation) ** strength
        result[0, channel] = (values - mean) * scale + mean + strength * (goal - mean)
    return result


@pytest.mark.parametrize("size", [(9, 7), (4, 5, 6)])
@pytest.mark.parametrize("strength", [0.3, 0.5, 1.0])
def test_against_numpy(generator, size, strength):
    image = torch.rand(1, 3, *size, generator=generator)
    kept = image.clone()
    found = match_channels(image, TARGET, strength)
    assert found.dtype == image.dtype
    np.testing.assert_allclose(found, plain(image, TARGET, strength), rtol=0, atol=1e-6)
    assert torch.equal(image, kept)


def test_statistics(generator):
    image = torch.rand(1, 3, 9, 7, generator=generator)
    mean, deviation = channel_statistics(image)
    np.testing.assert_allclose(mean, image.numpy().mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(deviation, image.numpy().std((0, 2, 3)), rtol=1e-6)


def test_strength_one_has_the_targets_statistics(generator):
    image = torch.rand(1, 3, 16, 16, generator=generator, dtype=torch.float64)
    target = ChannelStatistics(TARGET.mean.double(), TARGET.deviation.double())
    mean, deviation = channel_statistics(match_channels(image, target, 1.0))
    torch.testing.assert_close(mean, target.mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(deviation, target.deviation, rtol=1e-12, atol=0)


def test_strength_zero_is_the_image_bit_for_bit(generator):
    image = torch.rand(1, 3, 9, 7, generator=generator)
    assert torch.equal(match_channels(image, TARGET, 0.0), image)


def test_its_own_statistics_leave_an_image_as_it_is(generator):
    image = torch.rand(1, 3, 9, 7, generator=generator)
    found = match_channels(image, channel_statistics(image), 1.0)
    torch.testing.assert_close(found, image, rtol=0, atol=1e-6)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_a_constant_channel_is_only_shifted(generator, strength):
    image = torch.rand(1, 3, 6, 6, generator=generator)
    image[:, 1] = 0.2
    found = match_channels(image, TARGET, strength)
    expected = torch.full((6, 6), 0.2 + strength * (0.4 - 0.2))
    torch.testing.assert_close(found[0, 1], expected)
    others = image[:, [0, 2]]
    target = ChannelStatistics(TARGET.mean[[0, 2]], TARGET.deviation[[0, 2]])
    np.testing.assert_allclose(found[:, [0, 2]], plain(others, target, strength), atol=1e-6)
