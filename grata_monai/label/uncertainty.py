# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How unsure a network is about an image, without labels: people see the hardest images first.

Measured with a source trained on REFUGE at 256 px: Spearman's correlation of each measure with one
less the mean Dice (disc, cup) of the source prediction, with a 95 % bootstrap interval, and how
many of the 10 (20) worst images are among the 10 (20) that come first. Seed 0. "Restyled" are the
51 test images in one strong view each, for images of mixed quality.

====================================  =============================  ==============================
measure                               Drishti-GS, 101 images         restyled, 51 images
====================================  =============================  ==============================
entropy                               0.63 (0.50 to 0.73), 6 (11)    0.75 (0.57 to 0.87), 6 (16)
disagreement                          0.54 (0.37 to 0.68), 3 (8)     0.74 (0.55 to 0.85), 5 (17)
misalignment                          0.07 (-0.13 to 0.27), 2 (5)    -0.07 (-0.33 to 0.19), 1 (7)
mean rank of the first two            0.62 (0.47 to 0.72), 5 (10)    0.76 (0.59 to 0.87), 6 (16)
mean rank of all three                0.57 (0.42 to 0.69), 3 (10)    0.71 (0.54 to 0.80), 5 (16)
median rank of all three              0.62 (0.49 to 0.73), 5 (11)    0.73 (0.55 to 0.86), 6 (17)
chance                                0, 1 (4)                       0, 2 (8)
====================================  =============================  ==============================

So misalignment did not tell hard images from easy ones: it is reported and does not count in the
rank. The combination was chosen by the mean of the two correlations, on these same images; it is
not measurably better than the entropy alone. On Drishti-GS the 20 images that come first have a
mean Dice of 80.6 points, all of them 87.7, the 20 worst 75.8.

Entropy is divided by the predicted area as other choices correlated less on Drishti-GS: none 0.01,
pixels inside and outside with equal say 0.21, length of the border 0.30, root of the area 0.40; the
thresholded area does the same (0.63) but needs a rule for empty masks. Soft Dice with squares in
its denominator, which is 1 where all views agree, gave a disagreement of 0.35.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from grata_monai.adapters import GraTa
from grata_monai.functional.entropy import binary_entropy
from grata_monai.state import evaluating
from grata_monai.transforms import WEAK_VIEWS

RANKED = ("entropy", "disagreement")
"""Measures that count in the rank."""
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Uncertainty:
    """Three measures of one image; the larger, the less sure.

    Args:
        entropy: Entropy of the source prediction per px of what it predicts, in nats.
        disagreement: Between the six weak views of the image, in [0, 1]; soft predictions have
            some also where all views agree.
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
        \text{disagreement} = 1 - \frac{2 \sum q_j q}{\sum q_j + \sum q}, \qquad
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

    The mean of the percentile ranks by ``RANKED``; ties share their mean rank. What is not finite
    counts as largest: a prediction that broke down needs a person most.

    Args:
        measures: Of each image, by name.
    """
    if not measures:
        return {}
    rows = [[getattr(one, name) for name in RANKED] for one in measures.values()]
    table = np.array(rows, dtype=np.float64)
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
    areas = views.sum(dim=dims) + mean.sum(dim=dims)
    dice = 2.0 * (views * mean).sum(dim=dims) / areas.clamp_min(_SMALLEST)
    return float(1.0 - dice.mean())
