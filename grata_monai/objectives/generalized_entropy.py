# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Entropy at a temperature that fits the spread of the logits."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from grata_monai._checks import check_choice
from grata_monai.functional.class_views import nested_probabilities
from grata_monai.functional.entropy import (
    GeneralizedEntropyKind,
    binary_entropy,
    generalized_entropy,
    spread_temperature,
)
from grata_monai.functional.precision import at_least_single
from grata_monai.objectives.base import Objective

GemClasses = Literal["nested3", "channel", "binary"]
SMALLEST_PROBABILITY = 1e-6


class GeneralizedEntropy(Objective):
    r"""Generalized entropy minimization (GEM) of DomainAdaptor, for sigmoid outputs.

    .. math::
        L = -\mathrm{mean}\; T^2 \sum_c q_c \ln p_c, \qquad
        p = \mathrm{softmax}(z / T), \qquad T = 2\, \mathrm{std}(z)

    with T free of gradient. What "class" means for two sigmoids is a choice of ours:

    - ``"nested3"``: background, rim and cup, with z the logarithms of
      :math:`1 - p_{disc},\ \max(p_{disc} - p_{cup}, 0),\ p_{cup}` (renormalized, at least 1e-6)
      and one T per pixel, as in the original with its softmax;
    - ``"channel"``: each channel is a two-class problem (z, 0) with one T per image and channel,
      from the spread of z over the pixels;
    - ``"binary"``: the full binary entropy, without temperature.

    (Two classes with one T per pixel would only inflate the logits.)

    Args:
        kind: ``"gem_t"`` (q = p, the authors' scripts) or ``"gem_skd"`` (q = softmax(z) without
            gradient); of no effect for ``"binary"``.
        classes: ``"nested3"``, ``"channel"`` or ``"binary"``.

    Raises:
        ValueError: For ``"nested3"`` if the network has not two outputs (disc and cup).

    Reference:
        J. Zhang et al., "DomainAdaptor: A Novel Approach to Test-time Adaptation", ICCV 2023,
        arXiv:2308.10297.
    """

    def __init__(
        self, *, kind: GeneralizedEntropyKind = "gem_t", classes: GemClasses = "nested3"
    ) -> None:
        check_choice("GeneralizedEntropy", "kind", kind, ("gem_t", "gem_skd"))
        check_choice("GeneralizedEntropy", "classes", classes, ("nested3", "channel", "binary"))
        self.kind: GeneralizedEntropyKind = kind
        self.classes = classes

    def __call__(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean over images, pixels and, if apart, channels; nothing is drawn."""
        logits = at_least_single(network(images))
        if self.classes == "binary":
            return binary_entropy(logits).mean()
        if self.classes == "channel":
            temperature = spread_temperature(logits, tuple(range(2, logits.ndim)))[..., None]
            pairs = torch.stack([logits, torch.zeros_like(logits)], dim=-1)
            return generalized_entropy(pairs, temperature, kind=self.kind, dim=-1).mean()
        nested = nested_probabilities(logits).clamp_min(SMALLEST_PROBABILITY).log()
        temperature = spread_temperature(nested, (1,))
        return generalized_entropy(nested, temperature, kind=self.kind).mean()
