# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Low-frequency prompts: factors on the amplitudes of an image's lowest frequencies.

Works for images BxCx*spatial of any size, square or not, 1D to 3D.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from grata_monai.functional.precision import at_least_single


def prompt_extent(size: Sequence[int], alpha: float) -> tuple[int, ...]:
    """Return how many frequencies a prompt covers along each dimension: ``max(1, int(n alpha))``.

    Args:
        size: Spatial size of the images.
        alpha: Share of the spectrum, in (0, 1].

    Example:
        >>> prompt_extent((512, 256), 0.01)
        (5, 2)
    """
    return tuple(max(1, int(length * alpha)) for length in size)


def low_frequency_amplitudes(
    images: Tensor, extent: Sequence[int], *, legacy_window: bool = False
) -> Tensor:
    """Return the amplitudes of an image's lowest frequencies, zero frequency in the middle.

    Args:
        images: BxCx*spatial.
        extent: Number of frequencies along each spatial dimension.
        legacy_window: See ``apply_frequency_prompt``.

    Shape:
        Output: BxCx*extent.
    """
    _check_extent(images, extent)
    spectrum = torch.fft.fftn(at_least_single(images), dim=_spatial(images))
    amplitudes: Tensor = spectrum[_window(images, extent, legacy_window)].abs()
    return amplitudes


def apply_frequency_prompt(
    images: Tensor, prompt: Tensor, *, legacy_window: bool = False
) -> Tensor:
    r"""Return images whose low-frequency amplitudes were multiplied by a prompt, phases kept.

    With spectrum F and a prompt P that is 1 outside its window,

    .. math:: x' = \mathrm{Re}\, \mathcal{F}^{-1}(P \odot F)
        = x + \mathrm{Re}\, \mathcal{F}^{-1}((P - 1) \odot F)

    The second form is the one computed: a prompt of ones gives the images themselves, bit for bit.

    Args:
        images: BxCx*spatial, floating point; never changed.
        prompt: 1xCx*extent real factors, in ascending order of frequency; differentiable.
        legacy_window: False: the zero frequency is in the middle of the window (of an even number
            of frequencies, the first of its upper half). True: as in VPTTA's code, the window
            starts at ``(n - k) // 2`` of the shifted spectrum, one frequency too low if n is even
            and k is odd, and prompt channel j acts on image channel ``(j - C // 2) % C``.

    Raises:
        ValueError: If the prompt does not fit the images.

    Example:
        >>> images = torch.arange(16.0).reshape(1, 1, 4, 4) / 16
        >>> doubled_mean = apply_frequency_prompt(images, torch.full((1, 1, 1, 1), 2.0))
        >>> round(float(doubled_mean.mean() / images.mean()), 4)
        2.0
    """
    extent = prompt.shape[2:]
    _check_extent(images, extent)
    if prompt.shape[:2] != (1, images.shape[1]):
        raise ValueError(
            f"The 'prompt' must be 1xCx*extent for images of {images.shape[1]} channels; got shape "
            f"{tuple(prompt.shape)}."
        )
    if legacy_window:
        prompt = prompt.roll(-(images.shape[1] // 2), dims=1)
    window = _window(images, extent, legacy_window)
    spectrum = torch.fft.fftn(at_least_single(images), dim=_spatial(images))
    change = torch.zeros_like(spectrum)
    change[window] = spectrum[window] * (prompt - 1.0)
    difference: Tensor = torch.fft.ifftn(change, dim=_spatial(images)).real
    return images + difference.to(images.dtype)


def _spatial(images: Tensor) -> tuple[int, ...]:
    return tuple(range(2, images.ndim))


def _window(
    images: Tensor, extent: Sequence[int], legacy_window: bool
) -> tuple[slice | Tensor, ...]:
    """Return the index of the low frequencies in the unshifted spectrum."""
    index: list[slice | Tensor] = [slice(None), slice(None)]
    for dim, (length, count) in enumerate(zip(images.shape[2:], extent, strict=True)):
        start = (length - count) // 2 if legacy_window else length // 2 - count // 2
        frequencies = torch.arange(start, start + count, device=images.device) - length // 2
        shape = [1] * (images.ndim - 2)
        shape[dim] = count
        index.append((frequencies % length).view(shape))
    return tuple(index)


def _check_extent(images: Tensor, extent: Sequence[int]) -> None:
    size = tuple(images.shape[2:])
    fits = len(extent) == len(size) and all(
        1 <= count <= length for count, length in zip(extent, size, strict=True)
    )
    if not fits:
        raise ValueError(
            f"The window of {tuple(extent)} frequencies does not fit images of size {size}; use "
            "larger images or a smaller alpha."
        )
