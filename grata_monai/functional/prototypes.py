# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Prototypes: mean features of classes, and how near each pixel is to them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Prototypes(NamedTuple):
    """Mean features of K classes, KxF, and which of them were seen at all, K booleans."""

    means: Tensor
    seen: Tensor


def masked_prototypes(features: Tensor, masks: Tensor) -> Prototypes:
    """Return the mean feature of each mask, over batch and space; zeros where it is empty.

    Args:
        features: BxFx*spatial.
        masks: Booleans BxKx*spatial, which may overlap.
    """
    values = features.transpose(0, 1).flatten(1)
    members = masks.transpose(0, 1).flatten(1).to(values)
    counts = members.sum(dim=1)
    # No matrix product: mixed precision would take it in float16, where the sums overflow.
    sums = torch.stack([(values * member).sum(dim=1) for member in members])
    means = sums / counts.clamp(min=1.0)[:, None]
    return Prototypes(means, counts > 0)


def merge_prototypes(history: Prototypes, current: Prototypes, rho: float) -> Prototypes:
    r"""Return the history moved towards the current image's prototypes.

    :math:`h_c \leftarrow (1 - \rho) h_c + \rho\, q_c` for classes seen in both; the current one
    where the class appears for the first time; the old one where it is not in the image.

    Args:
        history: h.
        current: q, of the same shape.
        rho: Share of the current one, in [0, 1].
    """
    share = torch.where(history.seen, rho, 1.0).to(current.means)
    share = torch.where(current.seen, share, torch.zeros_like(share))[:, None]
    means = (1.0 - share) * history.means + share * current.means
    return Prototypes(means, history.seen | current.seen)


def prototype_scores(features: Tensor, means: Tensor, temperature: float) -> Tensor:
    r"""Return :math:`-\lVert F(u) - r_k \rVert_2 / \tau` for each pixel and prototype.

    A softmax over prototypes makes weights of them. Computed one prototype at a time, so that the
    memory is that of the features and not K times as much.

    Args:
        features: BxFx*spatial.
        means: KxF.
        temperature: τ > 0.

    Returns:
        BxKx*spatial.
    """
    shape = (1, -1, *([1] * (features.ndim - 2)))
    distances = [
        torch.linalg.vector_norm(features - mean.view(shape), dim=1) for mean in means.unbind()
    ]
    return torch.stack(distances, dim=1) / -temperature
