# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Sigmoid logits seen as classes with one prototype each, and class scores seen as logits again.

Two views. ``binary``: each channel is a problem of two classes of its own; classes are all
structures, then all backgrounds. ``nested3``: disc (channel 0) contains cup (channel 1), so a pixel
is background, rim or cup.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_LARGEST = 1e4  # in place of an infinite logit; a probability of 1, and finite in half precision


class ClassView(NamedTuple):
    """The two directions of one view.

    Args:
        masks: Logits BxCx*spatial and a confidence to booleans BxKx*spatial: where a class is at
            least that probable.
        logits: Scores BxKx*spatial and which of the K classes were seen to logits BxCx*spatial
            and, for each channel, whether it could be decided. Where not, its logits mean nothing.
    """

    masks: Callable[[Tensor, float], Tensor]
    logits: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def nested_probabilities(logits: Tensor) -> Tensor:
    r"""Return background :math:`1 - p_0`, rim :math:`\max(p_0 - p_1, 0)` and cup :math:`p_1`.

    Renormalized, which matters only where the cup is more probable than the disc.

    Args:
        logits: Bx2x*spatial, disc and cup.

    Raises:
        ValueError: If there are not two channels.
    """
    if logits.shape[1] != 2:
        raise ValueError(
            "The nested view needs two channels, a structure and one inside it. "
            f"Got {logits.shape[1]}; use the view 'binary'."
        )
    disc, cup = torch.sigmoid(logits).unbind(dim=1)
    parts = torch.stack([1.0 - disc, (disc - cup).clamp(min=0.0), cup], dim=1)
    return parts / parts.sum(dim=1, keepdim=True)


def _binary_masks(logits: Tensor, confidence: float) -> Tensor:
    return torch.sigmoid(torch.cat([logits, -logits], dim=1)) >= confidence


def _binary_logits(scores: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    structures, backgrounds = scores.chunk(2, dim=1)
    seen_structures, seen_backgrounds = seen.chunk(2)
    return structures - backgrounds, seen_structures & seen_backgrounds


def _nested_masks(logits: Tensor, confidence: float) -> Tensor:
    return nested_probabilities(logits) >= confidence


def _nested_logits(scores: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    unseen = ~seen.view(1, -1, *[1] * (scores.ndim - 2))
    background, rim, cup = scores.masked_fill(unseen, -torch.inf).unbind(dim=1)
    disc_logits = torch.logaddexp(rim, cup) - background
    cup_logits = cup - torch.logaddexp(background, rim)
    logits = torch.stack([disc_logits, cup_logits], dim=1).clamp(-_LARGEST, _LARGEST)
    return logits, (seen.sum() >= 2).expand(2)


CLASS_VIEWS = {
    "binary": ClassView(_binary_masks, _binary_logits),
    "nested3": ClassView(_nested_masks, _nested_logits),
}
