# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""PASS the plain way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.batch_norm import batch_norms
from grata_monai.benchmark.textbook.bottleneck import bottleneck, bottleneck_layer
from grata_monai.benchmark.textbook.ensembles import balanced_entropy

Prompts = dict[str, Tensor]
Draw = Callable[[Tensor, Tensor], Prompts]
HIDDEN = 64


class Pass(Textbook):
    """Train an input decorator and a shape prompt so that features look like the source's.

    Args:
        network: The source network.
        beta: Learning rate.
        seed: Seed of the default ``draw``.
        draw: Returns the first prompts for an image and its bottleneck features.

    Reference:
        C. Zhang et al., "PASS: Test-Time Prompting to Adapt Styles and Semantic Shapes in Medical
        Image Segmentation", IEEE TMI 2024.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        beta: float = 5e-3,
        seed: int = 0,
        draw: Draw | None = None,
    ) -> None:
        super().__init__(network, seed=seed)
        self.beta = beta
        self.draw = self._draw if draw is None else draw
        self.images_seen = 0
        self.target: Prompts = {}
        self.prompts: Prompts = {}
        self.distances: list[Tensor] = []

    def step(self, image: Tensor) -> Tensor:
        """Make two steps from the target, move it, and return the surer of two predictions."""
        if not self.target:
            self._start(image)
        self.prompts = {k: v.clone().requires_grad_(True) for k, v in self.target.items()}
        optimizer = torch.optim.Adam(self.prompts.values(), lr=self.beta)
        for _ in range(2):
            self._prompted(image)
            loss = torch.stack(self.distances).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        self.images_seen += 1
        momentum = 0.1 * 0.94**self.images_seen + 0.005
        for name, prompt in self.prompts.items():
            target = self.target[name]
            self.target[name] = (1 - momentum) * target + momentum * prompt.detach()

        with torch.no_grad():
            prompted = self._prompted(image)
            self.prompts = {}
            plain: Tensor = self.network(image)
        surer = sum(balanced_entropy(prompted)) <= sum(balanced_entropy(plain))
        return prompted if surer else plain

    def _start(self, image: Tensor) -> None:
        with torch.no_grad():
            features = bottleneck(self.network, image)
        self.target = self.draw(image, features)
        bottleneck_layer(self.network, image).register_forward_hook(self._modulate)
        for layer in batch_norms(self.network):
            layer.register_forward_pre_hook(self._measure)

    def _prompted(self, image: Tensor) -> Tensor:
        """Return the logits of the decorated image; the hooks do the rest."""
        self.distances = []
        hidden = F.relu(F.instance_norm(F.conv2d(image, self.prompts["decorator_in"])))
        change = F.conv2d(hidden, self.prompts["decorator_out"], self.prompts["decorator_shift"])
        logits: Tensor = self.network(image + change)
        return logits

    def _measure(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Note how far what enters a batch normalization is from the source's statistics."""
        if self.prompts and torch.is_grad_enabled() and isinstance(layer, _BatchNorm):
            x = inputs[0]
            mean, variance = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)
            distance = (mean - layer.running_mean).abs().mean()
            distance = distance + 0.01 * (variance - layer.running_var).abs().mean()
            self.distances.append(distance)

    def _modulate(self, _: nn.Module, __: tuple[Any, ...], features: Tensor) -> Tensor:
        """Add what the features take from the shape prompt, by attention between channels."""
        if not self.prompts:
            return features
        channels, size = features.shape[1], features.shape[2:]
        shape = self.prompts["shape"]
        if shape.shape[2:] != size:
            shape = F.interpolate(shape, size, mode="bilinear", align_corners=False)

        def filtered(values: Tensor, name: str) -> Tensor:
            return F.conv2d(values, self.prompts[name], padding=1, groups=channels).flatten(2)

        query, key = filtered(features, "query"), filtered(shape, "key")
        attention = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(query.shape[2]), dim=2)
        kept = attention.topk(math.ceil(0.1 * channels), dim=1).indices
        attention = attention * torch.zeros_like(attention).scatter(1, kept, 1.0)
        return features + (attention @ filtered(shape, "value")).view_as(features)

    def _draw(self, image: Tensor, features: Tensor) -> Prompts:
        generator = torch.Generator().manual_seed(self.seed)
        channels, width = image.shape[1], features.shape[1]

        def uniform(*shape: int) -> Tensor:
            bound = 1 / math.sqrt(math.prod(shape[1:]))
            return ((2 * torch.rand(shape, generator=generator) - 1) * bound).to(image)

        return {
            "decorator_in": uniform(HIDDEN, channels, 1, 1),
            "decorator_out": image.new_zeros(channels, HIDDEN, 1, 1),
            "decorator_shift": image.new_zeros(channels),
            "shape": torch.zeros_like(features),
            "query": uniform(width, 1, 3, 3),
            "key": uniform(width, 1, 3, 3),
            "value": uniform(width, 1, 3, 3),
        }
