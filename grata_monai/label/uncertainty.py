# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
r"""How unsure a network is about an image, without labels: people see the hardest images first.

DOCSTRING
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from grata_monai.adapters import GraTa
from grata_monai.functional.entropy import binary_entropy
from grata_monai.state import evaluating
from grata_monai.transforms import WEAK_VIEWS

_SMALLEST = 1e-12


@dataclass(frozen=True)
class Uncertainty:
    """Three measures of one image; the larger, the less sure.

    Args:
        entropy: Entropy of the source prediction per px of what it predicts, in nats.
        disagreement: Between the six weak views of the image, in [0, 1].
        misalignment: Between the two gradients of GraTa, in [0, 1]; NaN if there is no step.
    """

    entropy: float
    disagreement: float
    misalignment: float


def measure_uncertainty(network: nn.Module, images: Tensor, *, seed: int = 0) -> Uncertainty:
    r"""Measure an image with the source network.

    With p the source's probabilities, q_j those of the weak view j turned back and q their mean,
    each sum over the pixels of a channel, and the mean over channels (and views):

    .. math::
        \text{entropy} = \frac{\sum H(p)}{\sum p}, \qquad
        \text{disagreement} = 1 - \frac{2 \sum q_j q}{\sum q_j^2 + \sum q^2}, \qquad
        \text{misalignment} = \frac{1 - c}{2}

    with c the cosine of a GraTa step from the source.

    Args:
        network: The source; given back bit for bit as it was.
        images: One image, 1x3xHxW in [0, 1].
        seed: Of the strong view in the GraTa step.

    Raises:
        RuntimeError: If the network is bound by an adapter.
        ValueError: If there is not one image, or the network cannot be adapted.
    """
    if images.ndim != 4 or len(images) != 1:
        raise ValueError(
            "The uncertainty is measured of one image, 1 x channels x height x width. "
            f"Got {tuple(images.shape)}."
        )
    adapter = GraTa(life_cycle="per_image", seed=seed)
    with adapter.bound(network):
        adapter.adapt(images)
    cosine = adapter.trace_.get("cosine", math.nan)
    with torch.no_grad(), evaluating(network):
        entropy = _relative_entropy(network(images.clone())[0])
        disagreement = _disagreement(network, images)
    return Uncertainty(entropy, disagreement, (1.0 - cosine) / 2.0)


def rank_uncertainty(measures: Mapping[str, Uncertainty]) -> dict[str, float]:
    """Return how hard each image is among all, in (0, 1]; the hardest has the largest value.

    The mean of the percentile ranks of the measures; ties share their mean rank. What is not
    finite counts as largest: a prediction that broke down needs a person most.

    Args:
        measures: Of each image, by name.
    """
    if not measures:
        return {}
    table = np.array([astuple(one) for one in measures.values()], dtype=np.float64)
    table[~np.isfinite(table)] = np.inf
    ranks = rankdata(table, axis=0) / len(table)
    return dict(zip(measures, ranks.mean(axis=1).tolist(), strict=True))


def _relative_entropy(logits: Tensor) -> float:
    """Return the entropy per predicted px; logits CxHxW."""
    logits = logits.double()
    entropy = binary_entropy(logits).sum(dim=(-2, -1))
    area = torch.sigmoid(logits).sum(dim=(-2, -1)).clamp_min(_SMALLEST)
    return float((entropy / area).mean())


def _disagreement(network: nn.Module, images: Tensor) -> float:
    """Return one less the mean soft Dice of each weak view with the mean of all."""
    views = torch.stack(
        [
            torch.sigmoid(view.invert(network(view.apply(images).clone())[0]).double())
            for view in WEAK_VIEWS
        ]
    )
    mean = views.mean(dim=0, keepdim=True)
    dims = (-2, -1)
    squares = views.square().sum(dim=dims) + mean.square().sum(dim=dims)
    dice = 2.0 * (views * mean).sum(dim=dims) / squares.clamp_min(_SMALLEST)
    return float(1.0 - dice.mean())
