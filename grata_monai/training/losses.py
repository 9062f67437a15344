# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Segmentation loss of the source models."""

from __future__ import annotations

from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from grata_monai._checks import check_number


class SegmentationLoss(nn.Module):
    r"""Soft Dice over the whole batch plus binary cross-entropy, on sigmoid channels.

    .. math:: L_{seg} = 1 - \frac{2 \sum p y + s}{\sum p + \sum y + s}
        + \mathrm{mean}\, \mathrm{BCE}(z, y), \qquad p = \sigma(z)

    The sums of the Dice term run over images, channels and pixels jointly, so large structures
    weigh more than small ones, as in the recipe of the published source models.

    Args:
        smooth: s, added to numerator and denominator; 1 as in that recipe.

    Shape:
        - logits, target: BxKx*spatial, target in [0, 1]
        - Returns: scalar

    Raises:
        ValueError: If logits and target have different shapes.

    Example:
        >>> import torch
        >>> SegmentationLoss()(torch.zeros(1, 2, 2, 2), torch.ones(1, 2, 2, 2))  # 4/13 + ln 2
        tensor(1.0008)

    Reference:
        Z. Chen et al., "Each Test Image Deserves A Specific Prompt" (VPTTA), CVPR 2024, whose
        training code the published source models most likely come from.
    """

    def __init__(self, *, smooth: float = 1.0) -> None:
        super().__init__()
        check_number("SegmentationLoss", "smooth", smooth, minimum=0.0)
        self.smooth = smooth
        self._dice = DiceLoss(sigmoid=True, smooth_nr=smooth, smooth_dr=smooth)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch."""
        if logits.shape != target.shape:
            raise ValueError(
                "SegmentationLoss needs logits and target of one shape. "
                f"Got {tuple(logits.shape)} and {tuple(target.shape)}."
            )
        # One image with one channel, so that MONAI's sums run over everything.
        dice: Tensor = self._dice(logits.reshape(1, 1, -1), target.reshape(1, 1, -1))
        return dice + binary_cross_entropy_with_logits(logits, target)
