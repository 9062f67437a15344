# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""ColorMatch: the image in the source's colors, as far as the source's layers want it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from grata_monai._checks import check_number
from grata_monai.adapters.base import Adapter, LifeCycle
from grata_monai.adapters.wrapping import WrappingAdapter
from grata_monai.functional.channels import ChannelStatistics, channel_statistics, match_channels
from grata_monai.functional.ensembles import mixture_logits
from grata_monai.state.first_layer import FirstLayer
from grata_monai.state.layer_distance import measuring_layer_distances

SMALLEST_DISTANCE = 1e-6


class ColorMatch(WrappingAdapter):
    r"""Predict the image in several colors between its own and the source's; weigh by fit.

    With m, s the mean and deviation of the image's channels and M, S those usual in the source,

    .. math::
        x_t &= (x - m)\,(S/s)^t + m + t\,(M - m), \qquad t \in \{0, \tfrac12, 1\} \\
        D_t &= \mathrm{mean}_l\, \mathrm{mean}_c\,
        \frac{(\mu_{lc}(x_t) - \mu^s_{lc})^2}{v^s_{lc}}, \qquad
        w_t = \frac{D_t^{-2}}{\sum_u D_u^{-2}}, \qquad
        p = \sum_t w_t\, \sigma(f(x_t))

    where :math:`\mu_{lc}(x_t)` is what the activations before BN layer l average to, and
    :math:`\mu^s, v^s` are the source's running statistics. A camera whose colors are far from the
    source's has one t that clearly fits better; where colors are near, all t say almost the same
    and their mean is steadier than each. Nothing is learned and nothing carried over: an image's
    prediction depends on that image alone. No labels, no source images.

    M and S are six numbers that can be kept beside the weights (``source_mean``, ``source_std``;
    ``grata-monai weights colors`` computes them). Without them they are read from the weights: a
    network that begins with a convolution and batch normalization remembers the mean colors
    exactly and their spread roughly (see ``FirstLayer``). Given numbers are better.

    Around another method: that one's parameters and statistics are used, and it adapts, once per
    image, to the image at the middle of the strengths. Costs as many predictions as strengths.

    What to expect: it repairs differences of color, brightness and contrast between cameras. Where
    there are none it changes little, and it cannot help against blur, other framing or disease. It
    is a choice made on few domains (see the bundle's documentation), not a law.

    Args:
        adapter: The method inside; by name ``source`` if left out, which keeps the source's BN
            statistics.
        strengths: The t, each in [0, 1]; three of them are enough (measured).
        sharpness: Exponent of D, >= 0; 2. 0 weighs all alike; large values choose one.
        source_mean: M, one number per channel, in units of the images ([0, 1] after min-max over
            the image); the mean over source images. None: from the weights.
        source_std: S likewise, the mean over source images of their deviation.
        spread: Without ``source_std``: deviation within one image relative to that which the
            first layer remembers from whole batches, > 0; 0.9 (1.04 to 1.24 were found for its
            inverse with two source models).
        life_cycle: When to go back to the source; None for the inner method's own.
        seed: Seed of all draws; None for the inner method's own.

    Attributes:
        trace_: The inner method's numbers, and ``weight_<t>`` for every strength, ``color_shift``
            (root mean square of M - m over the channels).

    Raises:
        TypeError: If ``adapter`` is none.
        ValueError: If an argument is out of range; when bound, if the source's colors are not given
            and cannot be read from the network.

    Reference:
        None for the whole; the transfer of mean and deviation is E. Reinhard et al., "Color
        Transfer between Images", IEEE CG&A 2001. Weights, and colors from weights, are ours.
    """

    def __init__(
        self,
        *,
        adapter: Adapter,
        strengths: Sequence[float] = (0.0, 0.5, 1.0),
        sharpness: float = 2.0,
        source_mean: Sequence[float] | None = None,
        source_std: Sequence[float] | None = None,
        spread: float = 0.9,
        life_cycle: LifeCycle | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(adapter=adapter, life_cycle=life_cycle, seed=seed)
        self.strengths = _numbers("strengths", strengths, maximum=1.0)
        check_number("ColorMatch", "sharpness", sharpness, minimum=0.0)
        check_number("ColorMatch", "spread", spread, minimum=1e-3)
        self.sharpness = sharpness
        self.source_mean = None if source_mean is None else _numbers("source_mean", source_mean)
        self.source_std = None if source_std is None else _numbers("source_std", source_std)
        self.spread = spread
        if (self.source_mean is None) != (self.source_std is None):
            raise ValueError(
                "ColorMatch needs both 'source_mean' and 'source_std', or neither. Got "
                f"{source_mean!r} and {source_std!r}."
            )
        if self.source_mean and len(self.source_mean) != len(self.source_std or ()):
            raise ValueError(
                "The 'source_mean' and 'source_std' parameters of ColorMatch must be of the same "
                f"length. Got {source_mean!r} and {source_std!r}."
            )

    def _check(self, network: nn.Module) -> None:
        super()._check(network)
        self._first_layer = None if self.source_mean is not None else FirstLayer(network)

    def _start(self) -> None:
        super()._start()
        self._latest: tuple[Tensor, list[ChannelStatistics]] | None = None

    def _update(self, images: Tensor) -> dict[str, float]:
        targets = self._targets(images)
        middle = sum(self.strengths) / len(self.strengths)
        trace = super()._update(_matched(images, targets, middle))
        shifts = [
            target.mean - channel_statistics(image[None]).mean
            for target, image in zip(targets, images, strict=True)
        ]
        return {**trace, "color_shift": float(torch.stack(shifts).square().mean().sqrt())}

    def _predict(self, images: Tensor) -> Tensor:
        """Return the logits of the weighted mean of the strengths' probabilities."""
        if not bool(torch.isfinite(images).all()):
            return super()._predict(images)
        targets = self._targets(images)
        levels: list[Tensor] = []
        distances: list[Tensor] = []
        for strength in self.strengths:
            with measuring_layer_distances(self._bound().network) as measured:
                levels.append(super()._predict(_matched(images, targets, strength)))
            distance = measured.mean()
            distances.append(images.new_ones(len(images)) if distance is None else distance)
        weights = _inverse_weights(torch.stack(distances), self.sharpness)
        for strength, weight in zip(self.strengths, weights, strict=True):
            self.trace_[f"weight_{strength:g}"] = float(weight.mean())
        logits = torch.stack(levels)
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        shaped = weights.to(exact).view(*weights.shape, *[1] * (exact.ndim - 2))
        return mixture_logits(exact, shaped).to(logits.dtype)

    def _targets(self, images: Tensor) -> list[ChannelStatistics]:
        """Return M and S for each image."""
        if self._latest is None or self._latest[0] is not images:
            self._latest = (images, [self._target(image[None]) for image in images])
        return self._latest[1]

    def _target(self, image: Tensor) -> ChannelStatistics:
        if self._first_layer is not None:
            own = channel_statistics(image)
            change = self._first_layer.fit(image, spread=self.spread)
            return ChannelStatistics(
                own.mean * change.scale + change.shift, own.deviation * change.scale
            )
        mean, std = image.new_tensor(self.source_mean), image.new_tensor(self.source_std)
        if len(mean) != image.shape[1]:
            raise ValueError(
                f"The 'source_mean' of ColorMatch must have a number for each of the "
                f"{image.shape[1]} channels of the images. Got {len(mean)}."
            )
        return ChannelStatistics(mean, std)


def _matched(images: Tensor, targets: list[ChannelStatistics], strength: float) -> Tensor:
    matched = [
        match_channels(image[None], target, strength)
        for image, target in zip(images, targets, strict=True)
    ]
    return torch.cat(matched)


def _inverse_weights(distances: Tensor, sharpness: float) -> Tensor:
    """Return weights of the strengths, TxB, from the distances, TxB."""
    safe = distances.clamp_min(SMALLEST_DISTANCE)
    weights = (safe / safe.amin(dim=0)) ** -sharpness
    weights = torch.where(torch.isfinite(weights).all(dim=0), weights, 1.0)
    return weights / weights.sum(dim=0)


def _numbers(name: str, values: object, *, maximum: float = math.inf) -> tuple[float, ...]:
    if not isinstance(values, (list, tuple)) or not values:
        raise TypeError(
            f"The {name!r} parameter of ColorMatch must be a list of numbers. Got {values!r}."
        )
    for value in values:
        check_number("ColorMatch", name, value, minimum=0.0, maximum=maximum)
    return tuple(float(value) for value in values)
