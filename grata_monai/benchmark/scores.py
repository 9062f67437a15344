# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Scores of one image: Dice, surface distances, cup-to-disc ratio."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from monai.metrics import compute_average_surface_distance, compute_dice
from torch import Tensor

from grata_monai.metrics import VerticalCupDiscRatio, vertical_cup_disc_ratio

THRESHOLD = 0.5


@dataclass(frozen=True)
class Scores:
    """Scores of one image.

    Args:
        values: By the names of the columns of rows.csv.
        mask: Prediction, 2xHxW of zeros and ones (disc, cup).
    """

    values: dict[str, float]
    mask: Tensor


def score(logits: Tensor, label: Tensor) -> Scores:
    r"""Compare a prediction with the mask.

    Foreground is where the probability is at least 0.5. Dice is :math:`100 \cdot 2|A \cap B| /
    (|A| + |B|)`, 100 where both are empty. Surface distances are in pixels of the network's input:
    ``assd`` takes both directions together, ``asd`` only from the prediction to the mask (what the
    published code logs as "ASSD"); NaN if either has no surface. See ``VerticalCupDiscRatio`` for
    the error of the ratio.

    Args:
        logits: 1x2xHxW (disc, cup).
        label: 1x2xHxW of zeros and ones.

    Example:
        >>> label = torch.zeros(1, 2, 8, 8)
        >>> label[:, :, 2:6, 2:6] = 1
        >>> found = score(label * 2 - 1, label).values
        >>> found["dice_disc"], found["assd_cup"], found["vcdr_error"]
        (100.0, 0.0, 0.0)
    """
    mask = (torch.sigmoid(logits.detach()) >= THRESHOLD).float().cpu()
    truth = label.detach().float().cpu()
    dice = 100.0 * compute_dice(mask.double(), truth.double(), ignore_empty=False)
    with warnings.catch_warnings():
        # MONAI 1.6 warns of its own call, and of the empty masks that give NaN here
        warnings.simplefilter("ignore")
        symmetric = _surface_distance(mask, truth, symmetric=True)
        one_sided = _surface_distance(mask, truth, symmetric=False)
    error = VerticalCupDiscRatio()(mask, truth)
    values = {
        "dice_disc": float(dice[0, 0]),
        "dice_cup": float(dice[0, 1]),
        "assd_disc": float(symmetric[0]),
        "assd_cup": float(symmetric[1]),
        "asd_disc": float(one_sided[0]),
        "asd_cup": float(one_sided[1]),
        "vcdr": float(vertical_cup_disc_ratio(mask)[0]),
        "vcdr_true": float(vertical_cup_disc_ratio(truth)[0]),
        "vcdr_error": float(error[0, 0]),
    }
    return Scores(values, mask[0])


def _surface_distance(mask: Tensor, truth: Tensor, *, symmetric: bool) -> Tensor:
    distances = compute_average_surface_distance(
        mask, truth, include_background=True, symmetric=symmetric
    )[0]
    empty = ~(mask.flatten(2).any(dim=2) & truth.flatten(2).any(dim=2))[0]
    undefined = empty | ~torch.isfinite(distances)
    return torch.where(undefined, torch.nan, distances)
