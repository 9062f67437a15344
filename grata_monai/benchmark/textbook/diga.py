# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DIGA: mixed statistics, and prototypes that vote on each pixel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.modules.conv import _ConvNd

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.statistics import MixedBatchNorm, replace_batch_norms

Prototypes = dict[tuple[int, str], Tensor]
"""Mean feature of each channel's structure and background; missing where none was confident."""


class DIGA(Textbook):
    """Fuse the prediction with votes of this image's prototypes and of all images' so far.

    The logits are those of the fused probability, which no floating-point number holds beyond
    16 (single precision) or 36 (double): they end there.

    Args:
        network: The source network, which stays as it is.
        seed: Of no effect.
    """

    source_share = 0.8
    confidence = 0.9
    rho = 0.1
    kappa = 0.8
    fusion = 0.8

    def __init__(self, network: nn.Module, *, seed: int = 0) -> None:
        super().__init__(network, seed=seed)
        replace_batch_norms(self.network, lambda layer: MixedBatchNorm(layer, self.source_share))
        self.history: Prototypes = {}
        for module in self.network.modules():
            if isinstance(module, _ConvNd):  # the convolution that is called last has the last word
                module.register_forward_pre_hook(self._keep_features)

    def _keep_features(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.features: Tensor = inputs[0]

    @torch.no_grad()
    def step(self, image: Tensor) -> Tensor:
        """See base class."""
        p = torch.sigmoid(self.network(image))
        features = self.features
        if features.shape[2:] != p.shape[2:]:
            features = interpolate(features, p.shape[2:], mode="bilinear", align_corners=False)
        instance = self._prototypes(p, features)
        for key, prototype in instance.items():
            if key in self.history:
                prototype = (1 - self.rho) * self.history[key] + self.rho * prototype
            self.history[key] = prototype
        historical, current = (self._vote(s, p, features) for s in (self.history, instance))
        votes = self.kappa * historical + (1 - self.kappa) * current
        fused = self.fusion * votes + (1 - self.fusion) * p
        return torch.logit(fused, eps=torch.finfo(fused.dtype).eps)

    def _prototypes(self, p: Tensor, features: Tensor) -> Prototypes:
        """Return the mean features where the prediction is confident."""
        found: Prototypes = {}
        for channel in range(p.shape[1]):
            for kind, probability in (("structure", p), ("background", 1 - p)):
                mask = probability[0, channel] >= self.confidence
                if mask.any():
                    found[channel, kind] = features[0][:, mask].mean(dim=1)
        return found

    def _vote(self, prototypes: Prototypes, p: Tensor, features: Tensor) -> Tensor:
        """Return the probability by distance; the prediction where a prototype is missing."""
        vote = p.clone()
        for channel in range(p.shape[1]):
            structure = prototypes.get((channel, "structure"))
            background = prototypes.get((channel, "background"))
            if structure is not None and background is not None:
                distances = [
                    (features[0] - prototype[:, None, None]).norm(dim=0)
                    for prototype in (structure, background)
                ]
                vote[0, channel] = torch.softmax(-torch.stack(distances), dim=0)[0]
        return vote
