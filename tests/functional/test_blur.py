# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussian blur against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from grata_monai.functional.blur import gaussian_blur

SIGMAS = torch.tensor([[0.5, 1.5, 1.1], [0.83, 0.1, 3.0]])


@pytest.mark.parametrize("spatial", [(16, 11), (3, 2), (1, 9), (7, 6, 5), (4, 2, 1), (12,)])
def test_equals_scipy(spatial, generator):
    images = torch.rand(2, 3, *spatial, generator=generator)
    before = images.clone()
    blurred = gaussian_blur(images, SIGMAS)
    for sample in range(2):
        for channel in range(3):
            expected = gaussian_filter(
                images[sample, channel].double().numpy(),
                SIGMAS[sample, channel].item(),
                mode="reflect",
                truncate=4.0,
            )
            np.testing.assert_allclose(blurred[sample, channel].numpy(), expected, atol=1e-6)
    assert torch.equal(images, before)


def test_equals_scipy_in_double_precision(generator):
    images = torch.rand(1, 1, 20, 20, generator=generator, dtype=torch.float64)
    expected = gaussian_filter(images[0, 0].numpy(), 1.3)
    blurred = gaussian_blur(images, torch.tensor([[1.3]], dtype=torch.float64))
    np.testing.assert_allclose(blurred[0, 0].numpy(), expected, atol=1e-14)


def test_channels_with_sigma_zero_keep_their_bits(generator):
    images = torch.rand(2, 2, 8, 8, generator=generator)
    blurred = gaussian_blur(images, torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    assert torch.equal(blurred[0, 0], images[0, 0])
    assert torch.equal(blurred[1], images[1])
    assert not torch.equal(blurred[0, 1], images[0, 1])
    assert gaussian_blur(images, torch.zeros(2, 2)) is images


def test_a_channel_does_not_depend_on_its_neighbors_sigma(generator):
    images = torch.rand(1, 2, 8, 8, generator=generator)
    alone = gaussian_blur(images[:, :1], torch.tensor([[0.6]]))
    beside = gaussian_blur(images, torch.tensor([[0.6, 2.5]]))
    torch.testing.assert_close(beside[:, :1], alone, atol=1e-7, rtol=0)


def test_accepts_memory_in_any_order_and_keeps_dtype(generator):
    images = torch.rand(1, 3, 6, 9, generator=generator)
    sigmas = SIGMAS[:1]
    strided = images.to(memory_format=torch.channels_last)
    torch.testing.assert_close(gaussian_blur(strided, sigmas), gaussian_blur(images, sigmas))
    assert gaussian_blur(images.half(), sigmas).dtype == torch.float16


def test_rejects_what_does_not_fit():
    images = torch.rand(2, 3, 4, 4)
    with pytest.raises(TypeError, match=r"must be floating point, got torch\.int64"):
        gaussian_blur(images.long(), SIGMAS)
    with pytest.raises(ValueError, match=r"one value per sample and channel, \(2, 3\)"):
        gaussian_blur(images, SIGMAS[0])
    with pytest.raises(ValueError, match=r"must not be negative. Got -0.5"):
        gaussian_blur(images, SIGMAS - 0.6)
