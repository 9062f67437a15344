# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Grow a vessel tree out of the optic disc and draw it as maps of optical thickness."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from grata_monai.data._fundus_view import REGION, View, beyond_region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grata_monai.data._fundus_anatomy import Anatomy

FOVEA = (0.08, 0.95)
"""(row, column) of the fovea, about two and a half disc diameters from the disc."""

_STEP = 0.012
_MAX_STEPS = 90  # across the region
_SMOOTH = np.hanning(11)[1:-1] / 5.0  # a vessel turns gently
_NO_VESSELS = 0.13  # radius around the fovea
_TURNING = 0.3  # way outside the region over which the arcades turn towards the fovea's level
_MIN_WIDTH = 0.0028
_BRANCHING = 0.035  # probability of a branch per step
# Headings in radians, 0 = temporal, positive = down: the four arcades that every eye has.
_ARCADES = (-1.15, -2.1, 1.15, 2.1)


@dataclass(frozen=True)
class Vessel:
    """One vessel from its origin to its end.

    Args:
        points: ``(row, column)`` along the vessel, in region sides (columns grow temporally).
        widths: Width at each point, in region sides.
        is_artery: Arteries are thinner and brighter than veins and show a light streak.
    """

    points: NDArray[np.floating]
    widths: NDArray[np.floating]
    is_artery: bool


@dataclass(frozen=True)
class _Sprout:
    """Where a vessel starts and where it wants to go."""

    position: tuple[float, float]
    heading: float
    target: float
    width: float
    is_artery: bool
    generation: int


def grow_vessels(
    anatomy: Anatomy, generator: np.random.Generator, *, view: View = REGION
) -> list[Vessel]:
    """Grow the four arcades of arteries and veins with their branches, and some thin vessels."""
    sprouts = [*_main_sprouts(anatomy, generator), *_thin_sprouts(anatomy, generator)]
    vessels: list[Vessel] = []
    while sprouts:
        sprout = sprouts.pop(0)
        vessel, children = _grow(sprout, anatomy, generator, view)
        vessels.append(vessel)
        sprouts.extend(children)
    return vessels


def draw_vessels(
    vessels: list[Vessel], size: int, *, arteries: bool, view: View = REGION
) -> NDArray[np.float32]:
    """Draw the arteries or the veins as a map of optical thickness (0 = none, about 1 = thick).

    The map is in temporal coordinates; the light streak on arteries is a dip along their middle.
    """
    factor = max(2, math.ceil(512 * view.extent / size))
    side = size * factor
    canvas = Image.new("L", (side, side))
    pen = ImageDraw.Draw(canvas)
    chosen = [vessel for vessel in vessels if vessel.is_artery is arteries]
    chosen.sort(key=lambda vessel: float(vessel.widths[0]))
    for vessel in chosen:
        _stroke(pen, vessel, side, view, share=1.0, depth=1.0)
    if arteries:
        for vessel in chosen:
            _stroke(pen, vessel, side, view, share=0.3, depth=0.55)
    thickness = np.asarray(canvas.reduce(factor), dtype=np.float32) / 255.0
    smooth = ndimage.gaussian_filter(thickness, 0.0016 * size / view.extent, truncate=3.0)
    return np.asarray(smooth, dtype=np.float32)


def _main_sprouts(anatomy: Anatomy, generator: np.random.Generator) -> list[_Sprout]:
    """Return the arcades: they rise together, nearly upright, and part outside the disc."""
    sprouts = []
    spread = 0.10 * anatomy.disc.radius
    for is_artery in (False, True):
        row, column = (place + float(generator.normal(0.0, spread)) for place in anatomy.trunk)
        for target in _ARCADES:
            upright = math.copysign(math.pi / 2, target)
            sprouts.append(
                _Sprout(
                    position=(row, column + float(generator.normal(0.0, 0.3 * spread))),
                    heading=upright + 0.3 * (target - upright) + float(generator.normal(0.0, 0.2)),
                    target=target + float(generator.normal(0.0, 0.22)),
                    width=generator.uniform(0.013, 0.021) * (0.8 if is_artery else 1.1),
                    is_artery=is_artery,
                    generation=0,
                )
            )
    return sprouts


def _thin_sprouts(anatomy: Anatomy, generator: np.random.Generator) -> list[_Sprout]:
    """Return thin vessels that leave the disc to the nasal and the temporal side."""
    sprouts = []
    for number in range(int(generator.integers(4, 9))):
        side = 0.0 if number % 2 else math.pi
        target = side + float(generator.normal(0.0, 0.55))
        reach = anatomy.disc.radius * float(generator.uniform(0.0, 0.75))
        sprouts.append(
            _Sprout(
                position=(
                    anatomy.trunk[0] + reach * math.sin(target),
                    anatomy.trunk[1] + reach * math.cos(target),
                ),
                heading=target + float(generator.normal(0.0, 0.5)),
                target=target,
                width=float(generator.uniform(0.004, 0.009)),
                is_artery=bool(generator.integers(2)),
                generation=1,
            )
        )
    return sprouts


def _grow(
    sprout: _Sprout, anatomy: Anatomy, generator: np.random.Generator, view: View
) -> tuple[Vessel, list[_Sprout]]:
    """Follow one vessel step by step: it meanders, bends at the cup's edge, tapers, branches."""
    steps = math.ceil(_MAX_STEPS * view.extent)
    turns = np.convolve(generator.normal(0.0, 0.22, steps + _SMOOTH.size - 1), _SMOOTH, "valid")
    chances = generator.uniform(size=steps)
    kink = float(generator.normal(0.0, 0.4))
    row, column = sprout.position
    heading, width = sprout.heading, sprout.width
    points, widths, children = [(row, column)], [width], []
    was_in_cup = _in_cup(anatomy, row, column)
    for turn, chance in zip(turns.tolist(), chances.tolist(), strict=True):
        in_cup = _in_cup(anatomy, row, column)
        if was_in_cup and not in_cup:
            heading += kink
        was_in_cup = in_cup
        heading += turn + 0.08 * math.remainder(_target(sprout, row, column) - heading, math.tau)
        row += _STEP * math.sin(heading)
        column += _STEP * math.cos(heading)
        points.append((row, column))
        width = max(width * 0.994, _MIN_WIDTH)
        widths.append(width)
        if view.has_left(row, column) or _is_at_fovea(row, column):
            break
        if chance < _BRANCHING and not in_cup and _may_branch(sprout, width, row, column):
            children.append(_branch(sprout, (row, column), heading, width, chance / _BRANCHING))
            width *= 0.93
    thickness = np.array(widths)
    if sprout.generation:  # thin vessels come up gradually from below
        thickness[:5] *= np.linspace(0.4, 1.0, 5)[: len(widths)]
    return Vessel(np.array(points), thickness, sprout.is_artery), children


def _target(sprout: _Sprout, row: float, column: float) -> float:
    """Return where a vessel wants to go: outside the region, arcades bend around the fovea."""
    if math.cos(sprout.target) < 0.0:
        return sprout.target
    return sprout.target * (1.0 - min(1.15, beyond_region(row, column) / _TURNING))


def _is_at_fovea(row: float, column: float) -> bool:
    return math.hypot(row - FOVEA[0], column - FOVEA[1]) < _NO_VESSELS


def _may_branch(sprout: _Sprout, width: float, row: float, column: float) -> bool:
    if beyond_region(row, column):  # fewer: whole photographs would turn into a thicket
        return sprout.generation < 3 and width > 2.0 * _MIN_WIDTH
    return sprout.generation < 2 and width > 1.4 * _MIN_WIDTH


def _branch(
    parent: _Sprout, position: tuple[float, float], heading: float, width: float, luck: float
) -> _Sprout:
    """Return the branch of a vessel; ``luck`` from 0 to 1 chooses its side, angle and width."""
    angle = math.copysign(0.45 + 0.42 * luck, 0.5 - luck)
    return _Sprout(
        position=position,
        heading=heading + angle,
        target=parent.target + 0.8 * angle,
        width=width * (0.45 + 0.28 * luck),
        is_artery=parent.is_artery,
        generation=parent.generation + 1,
    )


def _in_cup(anatomy: Anatomy, row: float, column: float) -> bool:
    """Tell whether a point is in the cup, taken as a plain ellipse (enough to bend a vessel)."""
    cup = anatomy.cup
    down = (row - cup.center[0]) / cup.radius
    right = (column - cup.center[1]) / (cup.radius * cup.aspect)
    return down * down + right * right < 1.0


def _stroke(
    pen: ImageDraw.ImageDraw, vessel: Vessel, side: int, view: View, *, share: float, depth: float
) -> None:
    """Draw one vessel in short pieces, each as wide as the vessel is there."""
    pixels = view.share(vessel.points)[:, ::-1] * side
    piece = 5
    for start in range(0, len(pixels) - 1, piece):
        width = float(vessel.widths[start]) * side * share / view.extent
        if share < 1.0 and width < 2.0:
            return
        # A vessel thinner than one canvas pixel is drawn one pixel wide but fainter.
        ink = round(255 * depth * min(1.0, width) * min(1.0, 0.55 + 40.0 * vessel.widths[start]))
        chunk = [tuple(point) for point in pixels[start : start + piece + 1].tolist()]
        pen.line(chunk, fill=ink, width=max(1, round(width)), joint="curve" if width > 4 else None)
