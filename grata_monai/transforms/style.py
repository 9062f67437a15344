# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The strong view: random brightness, contrast, gamma, noise and blur."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from grata_monai._checks import check_number
from grata_monai.functional.blur import gaussian_blur
from grata_monai.functional.intensity import (
    adjust_inverted_gamma,
    rescale_intensity,
    scale_brightness,
    scale_contrast,
)

STYLE_OPERATIONS = ("brightness", "contrast", "gamma", "noise", "blur")
"""The operations of the strong view in the order in which they are applied."""

_SEED_BITS = 53
"""A double drawn from [0, 1) carries so many random bits."""


@dataclass(frozen=True)
class StyleParameters:
    """What was drawn for a batch: B samples, C channels; all tensors are on the CPU.

    A slice, ``parameters[i : i + 1]``, holds the parameters of some of the samples.

    Args:
        applied: Bx5 booleans, in the order of ``STYLE_OPERATIONS``.
        brightness: BxC factors.
        contrast: BxC factors.
        gamma: BxC exponents.
        noise_std: B standard deviations, one for all channels of a sample.
        noise_seed: B seeds of the noise fields.
        blur_sigma: BxC standard deviations in pixels, 0 for channels that are not blurred.
    """

    applied: Tensor
    brightness: Tensor
    contrast: Tensor
    gamma: Tensor
    noise_std: Tensor
    noise_seed: Tensor
    blur_sigma: Tensor

    def __getitem__(self, samples: slice) -> StyleParameters:
        return StyleParameters(**{f.name: getattr(self, f.name)[samples] for f in fields(self)})


class StrongView:
    r"""Change the style of images at random, then rescale each to [0, 1] (paper §3, strong view).

    Per image, in this order, each with its own probability:

    1. brightness: every channel times its own :math:`U(0.5, 1.5)`;
    2. contrast: every channel's distances from its mean times its own factor, clipped to the
       channel's former range; factors from (0.5, 1.5), half of them below 1 and half above;
    3. gamma of the negative, per channel; exponents from (0.5, 2), half below 1 and half above;
    4. Gaussian noise of one standard deviation :math:`U(0, 0.05)` per image;
    5. Gaussian blur of every channel with probability 0.5, its own sigma :math:`U(0.5, 1.5)`.

    Parameters are drawn first (always equally many numbers per image, so that a batch draws what
    its images would draw one after another), and applied second, on the images' own device. The
    noise field comes from a generator of that device which is seeded by a drawn number: equal bits
    on every CPU run, no copy from the host on a GPU.

    Args:
        brightness_probability: In [0, 1]; 0.75 as in the authors' code, like the others.
        contrast_probability: In [0, 1].
        gamma_probability: In [0, 1].
        noise_probability: In [0, 1].
        blur_probability: In [0, 1].
        blur_channel_probability: Of a channel, if its image is blurred.
        brightness_range: Lowest and highest factor, not negative.
        contrast_range: The same; drawn from both sides of 1 equally often if 1 lies inside.
        gamma_range: The same for the exponents, above 0.
        noise_std_range: Lowest and highest standard deviation, in units of the images.
        blur_sigma_range: Lowest and highest sigma in pixels, above 0.
        always: Apply all five to every image, and blur every channel (or else one image in eight
            would go without), as the paper's text says; probabilities are then not used.

    Example:
        >>> images = torch.linspace(0, 1, 48).reshape(1, 3, 4, 4)
        >>> view = StrongView()(images, torch.Generator().manual_seed(0))
        >>> view.shape, view.min().item(), view.max().item()
        (torch.Size([1, 3, 4, 4]), 0.0, 1.0)

    Reference:
        Z. Chen et al., "Gradient Alignment Improves Test-Time Adaptation for Medical Image
        Segmentation", AAAI 2025; semantics of the operations: batchgenerators.

    Differs from the reference code: images are never changed in place; a constant image gives
    zeros, not NaN; random numbers come from the given generator only.
    """

    def __init__(
        self,
        *,
        brightness_probability: float = 0.75,
        contrast_probability: float = 0.75,
        gamma_probability: float = 0.75,
        noise_probability: float = 0.5,
        blur_probability: float = 0.5,
        blur_channel_probability: float = 0.5,
        brightness_range: tuple[float, float] = (0.5, 1.5),
        contrast_range: tuple[float, float] = (0.5, 1.5),
        gamma_range: tuple[float, float] = (0.5, 2.0),
        noise_std_range: tuple[float, float] = (0.0, 0.05),
        blur_sigma_range: tuple[float, float] = (0.5, 1.5),
        always: bool = False,
    ) -> None:
        self.brightness_probability = brightness_probability
        self.contrast_probability = contrast_probability
        self.gamma_probability = gamma_probability
        self.noise_probability = noise_probability
        self.blur_probability = blur_probability
        self.blur_channel_probability = blur_channel_probability
        self.brightness_range = brightness_range
        self.contrast_range = contrast_range
        self.gamma_range = gamma_range
        self.noise_std_range = noise_std_range
        self.blur_sigma_range = blur_sigma_range
        self.always = always
        for name, value in vars(self).items():
            if name.endswith("_probability"):
                check_number("StrongView", name, value, minimum=0.0, maximum=1.0)
            elif name.endswith("_range"):
                _check_range(name, value, positive=name in {"gamma_range", "blur_sigma_range"})

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the strong view of a batch.

        Args:
            images: BxCx*spatial, floating point, in [0, 1]; never changed.
            generator: CPU generator to draw the parameters from.
        """
        return self.apply(images, self.draw(images.shape, generator))

    def draw(self, shape: Sequence[int], generator: torch.Generator) -> StyleParameters:
        """Draw the parameters for images of a shape, of which only B and C matter."""
        batch, channels = shape[0], shape[1]
        widths = [5, 1, 1, *[channels] * 7]
        numbers = torch.rand(batch, sum(widths), generator=generator, dtype=torch.float64)
        applied, std, seed, bright, side, contrast, gamma_side, gamma, chosen, sigma = torch.split(
            numbers, widths, dim=1
        )
        blurred = chosen < (1.0 if self.always else self.blur_channel_probability)
        return StyleParameters(
            applied=applied < torch.tensor(self._probabilities(), dtype=torch.float64),
            brightness=_uniform(bright, *self.brightness_range),
            contrast=_around_one(side, contrast, *self.contrast_range),
            gamma=_around_one(gamma_side, gamma, *self.gamma_range),
            noise_std=_uniform(std, *self.noise_std_range).flatten(),
            noise_seed=(seed * 2**_SEED_BITS).long().flatten(),
            blur_sigma=_uniform(sigma, *self.blur_sigma_range) * blurred,
        )

    def apply(self, images: Tensor, parameters: StyleParameters) -> Tensor:
        """Apply drawn parameters and rescale every image to [0, 1] over all its channels."""
        brightness, contrast, gamma, noise, blur = parameters.applied.unbind(1)
        changed = scale_brightness(images.as_subclass(Tensor), parameters.brightness, brightness)
        changed = scale_contrast(changed, parameters.contrast, contrast)
        changed = adjust_inverted_gamma(changed, parameters.gamma, gamma)
        changed = _add_noise(changed, parameters.noise_std * noise, parameters.noise_seed)
        changed = gaussian_blur(changed, parameters.blur_sigma * blur[:, None])
        return rescale_intensity(changed)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"StrongView({settings})"

    def _probabilities(self) -> list[float]:
        if self.always:
            return [1.0] * len(STYLE_OPERATIONS)
        return [float(getattr(self, f"{name}_probability")) for name in STYLE_OPERATIONS]


def _uniform(numbers: Tensor, low: float, high: float) -> Tensor:
    """Map numbers of [0, 1) to [low, high)."""
    return low + (high - low) * numbers


def _around_one(side: Tensor, numbers: Tensor, low: float, high: float) -> Tensor:
    """Map numbers to [low, high), half of them below 1 if the range has values on both sides."""
    if not low < 1.0 < high:
        return _uniform(numbers, low, high)
    return torch.where(side < 0.5, _uniform(numbers, low, 1.0), _uniform(numbers, 1.0, high))


def _add_noise(images: Tensor, stds: Tensor, seeds: Tensor) -> Tensor:
    """Add to each sample a field of its own seed, drawn on the images' device."""
    if not bool(stds.any()):
        return images
    noise = torch.zeros(images.shape, dtype=images.dtype, device=images.device)
    for field, std, seed in zip(noise, stds.tolist(), seeds.tolist(), strict=True):
        if std > 0:
            generator = torch.Generator(images.device).manual_seed(seed)
            field.normal_(0.0, std, generator=generator)
    return images + noise


def _check_range(name: str, value: Sequence[float], *, positive: bool) -> None:
    """Check a pair (low, high) with 0 <= low <= high, or 0 < low if asked."""
    numbers = tuple(value) if isinstance(value, (tuple, list)) else ()
    if len(numbers) == 2 and all(isinstance(n, (int, float)) for n in numbers):
        low, high = numbers
        if (low > 0 if positive else low >= 0) and low <= high < float("inf"):
            return
    least = "0 < low" if positive else "0 <= low"
    raise ValueError(
        f"The {name!r} parameter of StrongView must be two numbers (low, high) with "
        f"{least} <= high. Got {value!r}."
    )
