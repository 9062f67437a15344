# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Low-frequency prompts against numpy's Fourier transform, amplitude and phase apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grata_monai.functional.frequency import (
    apply_frequency_prompt,
    low_frequency_amplitudes,
    prompt_extent,
)

SIZES = [(12, 12), (9, 14), (13, 8), (6, 8, 7)]


def start_of_window(length, count, legacy):
    """First index of the window in a shifted spectrum, whose zero frequency is at length // 2."""
    return (length - count) // 2 if legacy else length // 2 - count // 2


def through_amplitude_and_phase(images, prompt, legacy):
    """Shift the amplitudes, multiply by the padded prompt, shift back, rejoin with the phases."""
    axes = tuple(range(2, images.ndim))
    spectrum = np.fft.fftn(images, axes=axes)
    amplitude, phase = np.abs(spectrum), np.angle(spectrum)
    shifted_axes = None if legacy else axes  # the authors' shift moves channels, too
    shifted = np.fft.fftshift(amplitude, axes=shifted_axes)
    padded = np.ones_like(shifted)
    window = [slice(None), slice(None)]
    for length, count in zip(images.shape[2:], prompt.shape[2:], strict=True):
        first = start_of_window(length, count, legacy)
        window.append(slice(first, first + count))
    padded[tuple(window)] = prompt
    changed = np.fft.ifftshift(shifted * padded, axes=shifted_axes)
    return np.fft.ifftn(changed * np.exp(1j * phase), axes=axes).real


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_prompt_multiplies_amplitudes(size, legacy, generator):
    images = torch.rand(1, 3, *size, generator=generator, dtype=torch.float64)
    shape = (1, 3, *(4, 3, 5)[: len(size)])
    prompt = 0.5 + torch.rand(shape, generator=generator, dtype=torch.float64)
    found = apply_frequency_prompt(images, prompt, legacy_window=legacy)
    expected = through_amplitude_and_phase(images.numpy(), prompt.numpy(), legacy)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_prompt_of_ones_is_the_exact_identity(dtype, generator):
    images = torch.rand(2, 3, 12, 9, generator=generator).to(dtype)
    for legacy in (False, True):
        found = apply_frequency_prompt(images, torch.ones(1, 3, 5, 4), legacy_window=legacy)
        assert torch.equal(found, images)
        assert found.dtype == dtype


def test_zero_frequency_in_the_middle_scales_the_mean_alone(generator):
    images = torch.rand(1, 2, 10, 16, generator=generator, dtype=torch.float64)
    prompt = torch.ones(1, 2, 3, 5, dtype=torch.float64)
    prompt[:, :, 1, 2] = 3.0
    expected = images + 2.0 * images.mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(apply_frequency_prompt(images, prompt), expected)


def test_a_symmetric_prompt_keeps_the_image_real(generator):
    """So all of the prompt arrives: nothing is lost by taking the real part."""
    images = torch.rand(1, 1, 16, 16, generator=generator, dtype=torch.float64)
    prompt = 0.5 + torch.rand(1, 1, 5, 5, generator=generator, dtype=torch.float64)
    prompt = (prompt + prompt.flip(2, 3)) / 2
    found = low_frequency_amplitudes(apply_frequency_prompt(images, prompt), (5, 5))
    torch.testing.assert_close(found, low_frequency_amplitudes(images, (5, 5)) * prompt)


def test_the_legacy_window_of_the_published_size():
    """253..257 of 512 (methods: k = 5, zero frequency at 256)."""
    wave = torch.cos(2 * torch.pi * 3 * torch.arange(512) / 512).view(1, 1, 1, 512)
    images = wave.expand(1, 1, 512, 512)
    centred = low_frequency_amplitudes(images, (5, 5))[0, 0]
    legacy = low_frequency_amplitudes(images, (5, 5), legacy_window=True)[0, 0]
    assert centred.max() < 1.0  # frequencies -2..2
    assert legacy.argmax() == 3 * 5 + 0  # frequencies -3..1: zero is the fourth, -3 the first
    assert legacy.max().item() == pytest.approx(512 * 512 / 2, rel=1e-4)


def test_extent():
    assert prompt_extent((512, 512), 0.01) == (5, 5)
    assert prompt_extent((64, 32), 0.1) == (6, 3)
    assert prompt_extent((12, 8, 6), 0.01) == (1, 1, 1)


def test_gradient(generator):
    images = torch.rand(1, 2, 6, 5, generator=generator, dtype=torch.float64)
    prompt = torch.rand(1, 2, 3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: apply_frequency_prompt(images, p), prompt)


def test_what_does_not_fit():
    images = torch.zeros(1, 3, 4, 4)
    with pytest.raises(ValueError, match="larger images or a smaller alpha"):
        apply_frequency_prompt(images, torch.ones(1, 3, 5, 4))
    with pytest.raises(ValueError, match="3 channels"):
        apply_frequency_prompt(images, torch.ones(1, 2, 1, 1))
    with pytest.raises(ValueError, match="does not fit"):
        low_frequency_amplitudes(images, (1,))
