# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""StatisticsChoice the plain way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.batch_norm import batch_norms
from grata_monai.benchmark.textbook.ellipse import ellipse_likeness
from grata_monai.benchmark.textbook.ensembles import mixture_logits
from grata_monai.benchmark.textbook.source import BatchNormAdapt
from grata_monai.benchmark.textbook.source_colors import color_change
from grata_monai.benchmark.textbook.statistics import MixedBatchNorm, replace_batch_norms

STRENGTHS = (0.0, 0.5, 1.0)
SHARPNESS = 2.0
TRUST = 32.0


class StatisticsChoice(Textbook):
    """Predict with source, mixed and another method's statistics; trust the roundest masks.

    Args:
        network: The source network.
        seed: Seed of the default ``method``.
        method: Makes the method from the network; PTBN if left out.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        seed: int = 0,
        method: Callable[[nn.Module], Textbook] | None = None,
    ) -> None:
        super().__init__(network, seed=seed)
        self.mixed = copy.deepcopy(self.network)
        replace_batch_norms(self.mixed, lambda layer: MixedBatchNorm(layer, 0.75))
        self.method = BatchNormAdapt(network, seed=seed) if method is None else method(network)
        self.distances: list[Tensor] = []
        for layer in batch_norms(self.network):
            layer.register_forward_pre_hook(self._measure)

    def step(self, image: Tensor) -> Tensor:
        """Return the mean of three predictions; only the method inside keeps anything."""
        method = self.method.step(image)
        with torch.no_grad():
            scale, shift = color_change(self.network, image)
            colors = self._predict_colors(image, scale, shift)
            mixture = self.mixed(recolored(image, scale, shift, max(STRENGTHS)))
            candidates = [colors, mixture, method]
            likeness = [_likeness(logits) for logits in candidates]
            weights = torch.tensor(likeness, dtype=torch.float64) ** TRUST
            none = weights.sum(dim=0) == 0
            weights = torch.where(none, torch.ones_like(weights), weights)
            return mixture_logits(candidates, weights / weights.sum(dim=0))

    def _predict_colors(self, image: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Return the mean of the source's predictions in several colors."""
        predictions, weights = [], []
        for strength in STRENGTHS:
            self.distances = []
            predictions.append(self.network(recolored(image, scale, shift, strength)))
            weights.append(torch.stack(self.distances).mean() ** -SHARPNESS)
        total = torch.stack(weights)
        return mixture_logits(predictions, total / total.sum())

    def _measure(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Note how far means that enter a batch normalization are from the source's."""
        if isinstance(layer, _BatchNorm) and layer.running_var is not None:
            difference = inputs[0].mean(dim=(0, 2, 3)) - layer.running_mean
            self.distances.append((difference**2 / (layer.running_var + layer.eps)).mean())


def recolored(image: Tensor, scale: Tensor, shift: Tensor, strength: float) -> Tensor:
    """Return an image with a part of a change of its colors: all of it with strength 1."""
    if strength == 0:
        return image
    mean = image.mean(dim=(0, 2, 3))
    deviation = image.var(dim=(0, 2, 3), correction=0).sqrt()
    target = mean * scale + shift
    factor = torch.where(deviation > 1e-4, scale**strength, 1.0)  # a flat channel is only shifted
    new_mean = mean + strength * (target - mean)
    centered = image - mean.view(1, -1, 1, 1)
    return centered * factor.view(1, -1, 1, 1) + new_mean.view(1, -1, 1, 1)


def _likeness(logits: Tensor) -> list[float]:
    return [ellipse_likeness(mask) for mask in (logits[0] > 0).cpu().numpy()]
