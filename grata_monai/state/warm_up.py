# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Statistics that move from the current image's to the source's as the stream grows (VPTTA)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai._checks import check_number
from grata_monai.functional import bn_statistics
from grata_monai.functional.bn_statistics import Statistics
from grata_monai.state.bn_policies import (
    StatisticsPolicy,
    normalize_with_constants,
    source_statistics,
)

_SMALLEST_VARIANCE = 1e-12
"""Below it a deviation has no gradient; the square root's would be infinite at 0."""


class WarmUpStatistics(StatisticsPolicy):
    r"""A mixture of source and current statistics in which the current share falls.

    With n the number of images seen, the current one included,

    .. math:: m_n = \frac{1}{\sqrt{n} / w + 1}, \qquad
        \mu = m_n \mu_t + (1 - m_n) \mu_s, \quad v = m_n \tilde v_t + (1 - m_n) v_s

    where t is the current input (unbiased variance, no gradient) and s the source, which never
    changes. Each pass through the network counts as an image, except inside
    ``with policy.same_image():``.

    Args:
        warm_up: w > 0; 5 in VPTTA. The larger, the longer the current image dominates.

    Attributes:
        count_: n.
    """

    def __init__(self, *, warm_up: float = 5.0) -> None:
        check_number("WarmUpStatistics", "warm_up", warm_up, minimum=1e-9)
        self.warm_up = warm_up
        self.count_ = 0
        self._counting = True
        self._first_layer: str | None = None
        self._distances: list[Tensor] | None = None

    @property
    def current_share(self) -> float:
        """Share of the current image's statistics (the first image's if none was seen)."""
        return 1.0 / (math.sqrt(max(self.count_, 1)) / self.warm_up + 1.0)

    @contextmanager
    def same_image(self) -> Iterator[None]:
        """Take passes during a block as further looks at the image that was counted last."""
        before, self._counting = self._counting, False
        try:
            yield
        finally:
            self._counting = before

    @contextmanager
    def measuring(self) -> Iterator[list[Tensor]]:
        r"""Collect each layer's distance between mixed and current statistics during a block.

        .. math:: d = \mathrm{mean}_c |\mu - \mu_t| + \mathrm{mean}_c |\sqrt v - \sqrt{\tilde v_t}|

        Only the current statistics carry a gradient.
        """
        before, self._distances = self._distances, []
        try:
            yield self._distances
        finally:
            self._distances = before

    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """See base class."""
        if activations.numel() < 2 * activations.shape[1]:
            raise ValueError(
                f"Layer {name!r} sees one value per channel (activations of shape "
                f"{tuple(activations.shape)}), which has no variance; use larger images."
            )
        self._count(name)
        with torch.set_grad_enabled(self._distances is not None and torch.is_grad_enabled()):
            current = bn_statistics.batch_statistics(activations, unbiased=True)
        constant = Statistics(current.mean.detach(), current.variance.detach())
        mixed = bn_statistics.mix(source_statistics(layer), constant, 1.0 - self.current_share)
        if self._distances is not None:
            self._distances.append(_distance(mixed, current))
        return normalize_with_constants(layer, activations, mixed)

    def reset(self) -> None:
        """Forget how many images were seen."""
        self.count_ = 0
        self._first_layer = None

    def state_dict(self) -> dict[str, Any]:
        """Return the number of images seen."""
        return {"count": self.count_}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the number of images seen."""
        self.count_ = int(state["count"])

    def count_image(self) -> None:
        """Count an image whose passes all run inside ``same_image``."""
        self.count_ += 1

    def _count(self, name: str) -> None:
        """Count an image when the layer that was called first is called again."""
        if not self._counting:
            return
        if self._first_layer is None:
            self._first_layer = name
        if name == self._first_layer:
            self.count_image()


def _distance(mixed: Statistics, current: Statistics) -> Tensor:
    means = (mixed.mean - current.mean).abs().mean()
    return means + (_deviation(mixed) - _deviation(current)).abs().mean()


def _deviation(statistics: Statistics) -> Tensor:
    return statistics.variance.clamp_min(_SMALLEST_VARIANCE).sqrt()
