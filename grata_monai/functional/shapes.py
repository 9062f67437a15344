# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How much a mask looks like one compact structure."""

from __future__ import annotations

import torch
from torch import Tensor

FEWEST_PIXELS = 4
_PIXEL_VARIANCE = 1.0 / 12.0


def ellipse_likeness(masks: Tensor) -> Tensor:
    r"""Return how much masks look like one round ellipse (in 3D: ellipsoid), in [0, 1].

    With c and Σ the centroid and covariance of a mask's pixels in d dimensions,

    .. math::
        E = \{u : (u - c)^T \Sigma^{-1} (u - c) \le d + 2\}, \qquad
        P = \frac{|M \cap E|}{|M \cup E|} \sqrt{\frac{a_{min}}{a_{max}}}

    E is the ellipse with the mask's own moments and a its axes: crumbs, holes, bays and long
    shapes all lower P. Masks of fewer than 4 pixels have 0.

    Args:
        masks: BxCx*spatial, true inside.

    Returns:
        P of every mask, BxC.

    Example:
        >>> masks = torch.zeros(1, 2, 16, 16, dtype=torch.bool)
        >>> masks[..., 2:7, 2:7] = True  # one square, and one with a crumb elsewhere
        >>> masks[0, 1, 14, 14] = True
        >>> [round(float(p), 1) for p in ellipse_likeness(masks)[0]]
        [1.0, 0.3]
    """
    spatial = masks.shape[2:]
    axes = [torch.arange(size, dtype=torch.float64, device=masks.device) for size in spatial]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)  # d x pixels
    inside = masks.flatten(2).to(torch.float64)  # B x C x pixels
    count = inside.sum(dim=2).clamp_min(1.0)
    center = (inside @ places.T) / count[..., None]
    offsets = places - center[..., None]  # B x C x d x pixels
    covariance = (offsets * inside[:, :, None]) @ offsets.transpose(2, 3) / count[..., None, None]
    covariance = covariance + _PIXEL_VARIANCE * torch.eye(len(spatial)).to(covariance)
    distance = (offsets * torch.linalg.solve(covariance, offsets)).sum(dim=2)
    ellipse = distance <= len(spatial) + 2
    mask = inside > 0
    overlap = (mask & ellipse).sum(dim=2) / (mask | ellipse).sum(dim=2).clamp_min(1)
    variances = torch.linalg.eigvalsh(covariance)
    roundness = (variances[..., 0] / variances[..., -1]).clamp(0.0, 1.0) ** 0.25
    likeness = overlap * roundness
    return torch.where(inside.sum(dim=2) < FEWEST_PIXELS, 0.0, likeness).to(torch.float32)
