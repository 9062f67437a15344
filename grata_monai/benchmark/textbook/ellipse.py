# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How much a mask looks like one round ellipse."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ellipse_likeness(mask: NDArray[np.bool_]) -> float:
    """Return overlap with the ellipse of the mask's moments, times the root of its roundness.

    Args:
        mask: HxW; one of fewer than four pixels is like none.
    """
    places = np.argwhere(mask).astype(float)
    if len(places) < 4:
        return 0.0
    center = places.mean(axis=0)
    # A pixel is no point: it has the variance of a square.
    covariance = np.cov(places.T, bias=True) + np.eye(2) / 12
    offsets = np.moveaxis(np.indices(mask.shape), 0, -1) - center
    distance = ((offsets @ np.linalg.inv(covariance)) * offsets).sum(axis=-1)
    ellipse = distance <= 4
    overlap = (mask & ellipse).sum() / (mask | ellipse).sum()
    short, long = np.sqrt(np.linalg.eigvalsh(covariance))
    return float(overlap * np.sqrt(short / long))
