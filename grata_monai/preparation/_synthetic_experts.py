# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Several experts who draw the same disc and cup a little larger or smaller."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

_SMALLEST_MOVE = 0.75  # pixels; pixel centers beside an outline are half a pixel away from it

Structure = npt.NDArray[np.bool_]


def drawn_by_experts(
    disc: Structure, cup: Structure, disc_steps: Sequence[float], cup_steps: Sequence[float]
) -> tuple[list[Structure], list[Structure]]:
    """Return each expert's disc and cup; nobody draws a cup outside the own disc.

    Args:
        disc: HxW, the disc with the cup.
        cup: HxW.
        disc_steps: By how many radii each expert draws the disc larger (smaller if negative).
        cup_steps: Likewise for the cup.
    """
    discs, cups = _resized(disc, disc_steps), _resized(cup, cup_steps)
    return discs, [own & around for own, around in zip(cups, discs, strict=True)]


def agreement(drawn: Sequence[Structure]) -> npt.NDArray[np.uint8]:
    """Return how many experts agree, HxW."""
    return np.asarray(np.sum(drawn, axis=0), dtype=np.uint8)


def _resized(structure: Structure, steps: Sequence[float]) -> list[Structure]:
    """Move the outline in or out; in small pictures far enough to make a difference."""
    smallest = min(abs(step) for step in steps if step)
    radius = max(math.sqrt(structure.sum() / math.pi), _SMALLEST_MOVE / smallest)
    moves = [step * radius for step in steps]
    window = _around(structure, margin=2 + math.ceil(max(map(abs, moves))))
    part = structure[window]
    # distance of pixel centers from the outline, positive inside
    depth = np.where(
        part,
        ndimage.distance_transform_edt(part) - 0.5,
        0.5 - ndimage.distance_transform_edt(~part),
    )
    results = []
    for move in moves:
        result = np.zeros_like(structure)
        result[window] = depth > -move
        results.append(result)
    return results


def _around(structure: Structure, *, margin: int) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(structure.any(axis)) for axis in (1, 0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )
