# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""StatisticsChoice: source, mixed or current statistics, image by image and without labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from grata_monai._checks import check_choice, check_number
from grata_monai.adapters.base import Adapter, LifeCycle
from grata_monai.adapters.wrapping import WrappingAdapter
from grata_monai.functional.channels import ChannelStatistics, channel_statistics, match_channels
from grata_monai.functional.ensembles import inverse_weights, mixture_logits, power_weights
from grata_monai.functional.precision import at_least_single
from grata_monai.functional.shapes import ellipse_likeness
from grata_monai.state import MixedStatistics, SourceStatistics, apply_policy
from grata_monai.state.first_layer import FirstLayer
from grata_monai.state.layer_distance import measuring_layer_distances

Candidate = Literal["colors", "mixture", "method"]
CANDIDATES: tuple[Candidate, ...] = ("colors", "mixture", "method")


class StatisticsChoice(WrappingAdapter):
    r"""Predict with several statistics and trust, image by image, the most plausible shapes.

    Test-time statistics win on some targets and lose on others, and entropy does not tell which.
    Three candidates are predicted. With m, s the mean and deviation of the image's channels and
    M, S those usual in the source,

    .. math:: x_t = (x - m)\,(S/s)^t + m + t\,(M - m), \qquad t \in \{0, \tfrac12, 1\}

    - ``colors``: the source network with its own statistics, on the image in several colors
      between its own and the source's, weighted by how much each looks like the source inside,

      .. math::
          p = \sum_t w_t\, \sigma(f(x_t)), \quad w_t \propto D_t^{-2}, \quad
          D_t = \mathrm{mean}_{l,c} (\mu_{lc}(x_t) - \mu^s_{lc})^2 / v^s_{lc}

      where :math:`\mu_{lc}` is what enters BN layer l on average;
    - ``mixture``: the source network on the :math:`x_t` of the largest t, with a share of the
      image's own statistics;
    - ``method``: the method inside, working just as it does alone (by name ``ptbn`` if left out,
      ``grata`` for the choice between source and adapted model).

    They are joined per image and channel with weights from the shapes of their masks,

    .. math::
        p_c = \sum_k \frac{P_{kc}^{\kappa}}{\sum_j P_{jc}^{\kappa}}\; p_{kc}

    with P in [0, 1] from ``ellipse_likeness``: one round, unbroken structure; alike where all P
    are 0. Nothing is learned by the choice: only the method inside may have a memory.

    M and S are numbers that can be kept beside the weights (``source_mean``, ``source_std``;
    ``grata-monai data colors`` computes them). Without them they are read from the weights: a
    network that begins with a convolution and batch normalization remembers the mean colors almost
    exactly and their spread roughly (``FirstLayer``).

    What to expect: it repairs differences of color, brightness and contrast between cameras, and
    falls back on image statistics where the source's predictions fall to pieces. Within one camera
    it may cost about a point of Dice. P is a prior that suits disc and cup and other compact
    structures; for vessels or several lesions set ``trust`` to 0. All constants were chosen on
    one pair of real domains, changed copies of it, and synthetic domains (see the bundle's
    documentation): they are no law. Costs five predictions with the default settings.

    Args:
        adapter: The method inside.
        candidates: Which of ``colors``, ``mixture`` and ``method`` to predict, at least one.
        strengths: The t, each in [0, 1].
        sharpness: Exponent of D, >= 0. 0 weighs all colors alike; large values choose one.
        source_share: Share of the source's statistics in ``mixture``, in [0, 1].
        trust: κ >= 0. 0 weighs all candidates alike; large values choose one.
        source_mean: M, one number per channel, in units of the images ([0, 1] after min-max over
            the image): the mean over source images. None: from the weights.
        source_std: S likewise, the mean over source images of the deviation within each.
        spread: Without ``source_std``: deviation within one image relative to that which the
            first layer remembers of whole batches, > 0; 0.9 (0.81 to 0.96 in two source models).
        life_cycle: When to go back to the source; None for the inner method's own.
        seed: Seed of all draws; None for the inner method's own.

    Attributes:
        trace_: The inner method's numbers, ``color_shift`` (root mean square of M - m over the
            channels) and ``weight_<candidate>``, the mean weight over the channels.

    Raises:
        TypeError: If ``adapter`` is none, or an argument of the wrong kind.
        ValueError: If an argument is out of range; when bound, if a layer keeps no statistics of
            the source, or its colors are not given and cannot be read from the network.

    Reference:
        None for the whole. The transfer of mean and deviation is E. Reinhard et al., "Color
        Transfer between Images", IEEE CG&A 2001; the mixture is α-BN's (see ``AlphaBN``).
    """

    default_method = "ptbn"

    def __init__(
        self,
        *,
        adapter: Adapter,
        candidates: Sequence[Candidate] = CANDIDATES,
        strengths: Sequence[float] = (0.0, 0.5, 1.0),
        sharpness: float = 2.0,
        source_share: float = 0.75,
        trust: float = 32.0,
        source_mean: Sequence[float] | None = None,
        source_std: Sequence[float] | None = None,
        spread: float = 0.9,
        life_cycle: LifeCycle | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(adapter=adapter, life_cycle=life_cycle, seed=seed)
        owner = "StatisticsChoice"
        self.candidates = _checked_candidates(candidates)
        self.strengths = _numbers("strengths", strengths, maximum=1.0)
        check_number(owner, "sharpness", sharpness, minimum=0.0)
        check_number(owner, "source_share", source_share, minimum=0.0, maximum=1.0)
        check_number(owner, "trust", trust, minimum=0.0)
        check_number(owner, "spread", spread, minimum=1e-3)
        self.sharpness = sharpness
        self.source_share = source_share
        self.trust = trust
        self.source_mean = None if source_mean is None else _numbers("source_mean", source_mean)
        self.source_std = None if source_std is None else _numbers("source_std", source_std)
        self.spread = spread
        self.needs_batch_norm = True
        if len(self.source_mean or ()) != len(self.source_std or ()):
            raise ValueError(
                "The 'source_mean' and 'source_std' parameters of StatisticsChoice must have as "
                f"many numbers as the images have channels. Got {source_mean!r} and {source_std!r}."
            )

    def _check(self, network: nn.Module) -> None:
        super()._check(network)
        apply_policy(network, SourceStatistics()).remove()  # says what is missing
        self._first_layer = FirstLayer(network) if self.source_mean is None else None

    def _start(self) -> None:
        super()._start()
        self._latest: tuple[Tensor, list[ChannelStatistics]] | None = None
        self._weights: dict[str, float] = {}

    def _update(self, images: Tensor) -> dict[str, float]:
        targets = self._targets(images)  # first: what raises here must not follow an update
        trace = super()._update(images)
        shifts = [
            target.mean - channel_statistics(image[None]).mean
            for target, image in zip(targets, images, strict=True)
        ]
        shift = float(torch.stack(shifts).square().mean().sqrt())
        predicted = self._weights if self.predict == "before_update" else {}
        return {**trace, "color_shift": shift, **predicted}

    def _predict(self, images: Tensor) -> Tensor:
        """Return the logits of the candidates' weighted mean probability."""
        if not bool(torch.isfinite(images).all()):
            return super()._predict(images)
        predict: dict[Candidate, Callable[[Tensor], Tensor]] = {
            "colors": self._predict_colors,
            "mixture": self._predict_mixture,
            "method": super()._predict,
        }
        logits = torch.stack([predict[name](images) for name in self.candidates])
        exact = at_least_single(logits)
        likeness = torch.stack([ellipse_likeness(candidate > 0) for candidate in exact])
        weights = power_weights(likeness, self.trust)
        means = weights.flatten(1).mean(dim=1).tolist()
        self._weights = {f"weight_{k}": w for k, w in zip(self.candidates, means, strict=True)}
        self.trace_.update(self._weights)
        return _mixed(exact, weights).to(logits.dtype)

    def _predict_colors(self, images: Tensor) -> Tensor:
        """Return the source's logits for the image in several colors, weighted by D."""
        binding = self._bound()
        levels, distances = [], []
        with binding.as_source(SourceStatistics()):
            for strength in self.strengths:
                with measuring_layer_distances(binding.network) as measured:
                    levels.append(binding.network(self._matched(images, strength)))
                distances.append(measured.mean())
        logits = torch.stack(levels)
        exact = at_least_single(logits)
        weights = inverse_weights(torch.stack(distances), self.sharpness)
        return _mixed(exact, weights[..., None]).to(logits.dtype)

    def _predict_mixture(self, images: Tensor) -> Tensor:
        """Return the source's logits for the matched image under mixed statistics."""
        binding = self._bound()
        with binding.as_source(MixedStatistics(source_share=self.source_share)):
            logits: Tensor = binding.network(self._matched(images, max(self.strengths)))
        return logits

    def _matched(self, images: Tensor, strength: float) -> Tensor:
        matched = [
            match_channels(image[None], target, strength)
            for image, target in zip(images, self._targets(images), strict=True)
        ]
        return torch.cat(matched)

    def _targets(self, images: Tensor) -> list[ChannelStatistics]:
        """Return M and S for each image."""
        if self._latest is None or self._latest[0] is not images:
            self._latest = (images, [self._target(image[None]) for image in images])
        return self._latest[1]

    def _target(self, image: Tensor) -> ChannelStatistics:
        if self._first_layer is not None:
            own = channel_statistics(image)
            change = self._first_layer.fit(image, spread=self.spread)
            mean = own.mean * change.scale + change.shift
            return ChannelStatistics(mean, own.deviation * change.scale)
        mean, std = image.new_tensor(self.source_mean), image.new_tensor(self.source_std)
        if len(mean) != image.shape[1]:
            raise ValueError(
                "The 'source_mean' of StatisticsChoice must have a number for each of the "
                f"{image.shape[1]} channels of the images. Got {len(mean)}."
            )
        return ChannelStatistics(mean, std)


def _mixed(logits: Tensor, weights: Tensor) -> Tensor:
    """Return the logits of the mean probability; weights KxBxC (or 1) for logits KxBxCx*."""
    if len(logits) == 1:
        return logits[0]  # bit for bit
    return mixture_logits(logits, weights.to(logits).view(*weights.shape, *[1] * (logits.ndim - 3)))


def _checked_candidates(candidates: object) -> tuple[Candidate, ...]:
    if not isinstance(candidates, (list, tuple)) or not candidates:
        raise TypeError(
            "The 'candidates' parameter of StatisticsChoice must be a list of some of "
            f"{', '.join(CANDIDATES)}. Got {candidates!r}."
        )
    for name in candidates:
        check_choice("StatisticsChoice", "candidates", name, CANDIDATES)
    return tuple(candidates)


def _numbers(name: str, values: object, *, maximum: float = math.inf) -> tuple[float, ...]:
    if not isinstance(values, (list, tuple)) or not values:
        raise TypeError(
            f"The {name!r} parameter of StatisticsChoice must be a list of numbers. Got {values!r}."
        )
    for value in values:
        check_number("StatisticsChoice", name, value, minimum=0.0, maximum=maximum)
    return tuple(float(value) for value in values)
