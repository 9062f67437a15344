# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Vertical cup-to-disc ratio, the number that glaucoma screening reads off a segmentation."""

from __future__ import annotations

from typing import Any

import torch
from monai.metrics import CumulativeIterationMetric
from monai.metrics.utils import do_metric_reduction
from torch import Tensor


def vertical_extent(masks: Tensor) -> Tensor:
    """Return how many rows each mask spans, from its first to its last occupied row.

    Args:
        masks: Binary (non-zero is foreground), ``...xHxW``.

    Returns:
        Float tensor ``...``; 0 where a mask is empty.

    Example:
        >>> mask = torch.zeros(1, 5, 4)
        >>> mask[0, 1, 2] = mask[0, 3, 0] = 1
        >>> vertical_extent(mask)
        tensor([3.])
    """
    rows = (masks != 0).any(dim=-1)
    height = rows.shape[-1]
    index = torch.arange(height, device=rows.device)
    first = torch.where(rows, index, height).amin(dim=-1)
    last = torch.where(rows, index, -1).amax(dim=-1)
    return (last - first + 1).clamp(min=0).to(torch.float32)


def vertical_cup_disc_ratio(masks: Tensor) -> Tensor:
    """Return the vertical extent of the cup divided by that of the disc.

    The ratio is not clipped: a cup that leaves the disc can exceed 1.

    Args:
        masks: Binary, channel 0 disc (including the cup), channel 1 cup.

    Shape:
        - masks: Bx2xHxW, H before W
        - Returns: B; NaN where there is no disc, 0 where there is a disc but no cup.

    Raises:
        ValueError: If the masks have another shape.

    Example:
        >>> masks = torch.zeros(1, 2, 8, 8)
        >>> masks[0, 0, 1:7, 2:6] = 1
        >>> masks[0, 1, 2:5, 3:5] = 1
        >>> vertical_cup_disc_ratio(masks)
        tensor([0.5000])
    """
    if masks.ndim != 4 or masks.shape[1] != 2:
        raise ValueError(
            "The 'masks' of vertical_cup_disc_ratio must be Bx2xHxW (disc, cup). "
            f"Got shape {tuple(masks.shape)}."
        )
    disc, cup = vertical_extent(masks).unbind(dim=1)
    return torch.where(disc > 0, cup / disc.clamp(min=1), torch.nan)


class VerticalCupDiscRatio(CumulativeIterationMetric):
    """Absolute error of the vertical cup-to-disc ratio, per image and reduced over images.

    An image whose label has no disc has no ratio: its error is NaN and counts in no mean. A
    prediction without a disc counts as ratio 0, so that finding nothing costs the full true
    ratio instead of dropping the image from the mean.

    Args:
        reduction: MONAI's metric reductions; ``"mean"`` over the images that have a ratio.

    Shape:
        - y_pred, y: Bx2xHxW binary, channel 0 disc including cup, channel 1 cup (or lists of
          2xHxW)
        - Returns (per image): Bx1

    Example:
        >>> label = torch.zeros(1, 2, 8, 8)
        >>> label[0, 0, 1:7, 2:6] = 1
        >>> label[0, 1, 2:5, 3:5] = 1
        >>> metric = VerticalCupDiscRatio()
        >>> metric(torch.zeros_like(label), label)
        tensor([[0.5000]])
        >>> metric.aggregate().item()
        0.5
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        if y is None or y_pred.shape != y.shape:
            given = None if y is None else tuple(y.shape)
            raise ValueError(
                "VerticalCupDiscRatio needs labels of the predictions' shape "
                f"{tuple(y_pred.shape)}. Got {given}."
            )
        predicted = vertical_cup_disc_ratio(torch.as_tensor(y_pred)).nan_to_num(nan=0.0)
        return (predicted - vertical_cup_disc_ratio(torch.as_tensor(y))).abs().unsqueeze(1)

    def aggregate(self, reduction: str | None = None) -> Tensor:
        """Return the errors of all images so far, reduced.

        Args:
            reduction: Instead of the one given at construction.

        Raises:
            ValueError: If no image was seen.
        """
        errors = self.get_buffer()
        if not isinstance(errors, Tensor):
            raise ValueError("VerticalCupDiscRatio has seen no image; call it before aggregate().")
        reduced: Tensor = do_metric_reduction(errors, reduction or self.reduction)[0]
        return reduced
