# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Draw the anatomy of a synthetic eye: disc, cup, their outlines and which eye it is.

Positions are ``(row, column)`` in image sides, with the origin in the image center and columns
growing towards the temporal side (where the fovea lies), so that left and right eyes differ only
when the picture is rendered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grata_monai.data._fundus_styles import CameraStyle, EyeStyle, draw_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WOBBLE_ORDERS = np.arange(2, 6)
_ANGLES = np.linspace(-np.pi, np.pi, 257)


@dataclass(frozen=True)
class Outline:
    """A closed, nearly elliptic outline.

    Args:
        center: ``(row, column)`` of the center.
        radius: Vertical radius.
        aspect: Horizontal divided by vertical radius.
        tilt: Rotation in radians.
        amplitudes: Relative size of the bumps with 2, 3, 4 and 5 periods around the outline.
        phases: Their phases in radians.
    """

    center: tuple[float, float]
    radius: float
    aspect: float
    tilt: float
    amplitudes: tuple[float, ...]
    phases: tuple[float, ...]

    def distance(self, rows: NDArray[np.floating], columns: NDArray[np.floating]) -> Distances:
        """Return the relative distance of points from the center: 1 is the outline itself."""
        down, right = rows - self.center[0], columns - self.center[1]
        cosine, sine = math.cos(self.tilt), math.sin(self.tilt)
        vertical = (cosine * down + sine * right) / self.radius
        horizontal = (cosine * right - sine * down) / (self.radius * self.aspect)
        angles = np.arctan2(vertical, horizontal)
        bumps = np.zeros_like(_ANGLES)
        for order, amplitude, phase in zip(
            _WOBBLE_ORDERS, self.amplitudes, self.phases, strict=True
        ):
            bumps += amplitude * np.cos(order * _ANGLES + phase)
        edge = np.interp(angles, _ANGLES, 1.0 + bumps).astype(np.float32)
        return Distances(np.hypot(vertical, horizontal) / edge, angles)


@dataclass(frozen=True)
class Distances:
    """Polar coordinates of points relative to an outline.

    Args:
        relative: Distance from the center, 1 on the outline.
        angles: Angle in radians; 0 is temporal, positive is down.
    """

    relative: NDArray[np.floating]
    angles: NDArray[np.floating]


@dataclass(frozen=True)
class Anatomy:
    """One synthetic eye.

    Args:
        is_left: Whether the temporal side is on the left of the picture.
        disc: Outline of the optic disc.
        cup: Outline of the cup as an expert marks it by the bend of the vessels; what sticks out
            of the disc does not count.
        pale_area: Outline of the pale area, which agrees with the cup only roughly.
        trunk: Where the vessels enter the eye.
        pallor: See :class:`~grata_monai.data._fundus_styles.EyeStyle`, as are all that follow.
        rim_contrast: Likewise.
        disc_edge: Likewise.
        pigment: Likewise.
        tessellation: Likewise.
        fibers: Likewise.
        atrophy: Likewise.
    """

    is_left: bool
    disc: Outline
    cup: Outline
    pale_area: Outline
    trunk: tuple[float, float]
    pallor: float
    rim_contrast: float
    disc_edge: float
    pigment: float
    tessellation: float
    fibers: float
    atrophy: float


def draw_anatomy(eye: EyeStyle, camera: CameraStyle, generator: np.random.Generator) -> Anatomy:
    """Draw one eye of a domain."""
    disc = _draw_disc(eye, camera, generator)
    cup = _draw_cup(disc, draw_in(generator, eye.cup_ratio), generator)
    trunk = (
        disc.center[0] + disc.radius * generator.uniform(-0.12, 0.12),
        0.5 * (disc.center[1] + cup.center[1]) - disc.radius * generator.uniform(0.1, 0.3),
    )
    return Anatomy(
        is_left=bool(generator.integers(2)),
        disc=disc,
        cup=cup,
        pale_area=_draw_pale_area(cup, generator),
        trunk=trunk,
        pallor=draw_in(generator, eye.pallor),
        rim_contrast=draw_in(generator, eye.rim_contrast),
        disc_edge=draw_in(generator, eye.disc_edge),
        pigment=draw_in(generator, eye.pigment),
        tessellation=draw_in(generator, eye.tessellation),
        fibers=draw_in(generator, eye.fibers),
        atrophy=draw_in(generator, eye.atrophy),
    )


def _draw_disc(eye: EyeStyle, camera: CameraStyle, generator: np.random.Generator) -> Outline:
    angle = generator.uniform(-math.pi, math.pi)
    shift = camera.off_center * math.sqrt(generator.uniform())
    return Outline(
        center=(shift * math.sin(angle), shift * math.cos(angle)),
        radius=draw_in(generator, eye.disc_radius),
        aspect=draw_in(generator, (0.82, 1.0)),
        tilt=float(generator.normal(0.0, 0.12)),
        amplitudes=_draw_bumps(generator, 0.012),
        phases=_draw_phases(generator),
    )


def _draw_cup(disc: Outline, ratio: float, generator: np.random.Generator) -> Outline:
    """Draw a cup that leaves a rim all around: it moves by at most 60 % of the free width."""
    free = disc.radius * (1.0 - ratio)
    return Outline(
        center=(
            disc.center[0] + free * float(np.clip(generator.normal(0.0, 0.22), -0.5, 0.5)),
            disc.center[1] + free * float(np.clip(generator.normal(0.15, 0.2), -0.4, 0.5)),
        ),
        radius=disc.radius * ratio,
        aspect=disc.aspect * draw_in(generator, (0.85, 1.12)),
        tilt=disc.tilt + float(generator.normal(0.0, 0.2)),
        amplitudes=_draw_bumps(generator, 0.035),
        phases=_draw_phases(generator),
    )


def _draw_pale_area(cup: Outline, generator: np.random.Generator) -> Outline:
    spread = 0.05 * cup.radius
    return replace(
        cup,
        center=(
            cup.center[0] + float(generator.normal(0.0, spread)),
            cup.center[1] + float(generator.normal(0.0, spread)),
        ),
        radius=cup.radius * draw_in(generator, (0.84, 1.10)),
        aspect=cup.aspect * draw_in(generator, (0.92, 1.08)),
        phases=_draw_phases(generator),
    )


def _draw_bumps(generator: np.random.Generator, size: float) -> tuple[float, ...]:
    sizes = np.abs(generator.normal(0.0, size, _WOBBLE_ORDERS.size)) / (_WOBBLE_ORDERS - 1)
    return tuple(np.minimum(sizes, 2.0 * size).tolist())


def _draw_phases(generator: np.random.Generator) -> tuple[float, ...]:
    return tuple(generator.uniform(-np.pi, np.pi, _WOBBLE_ORDERS.size).tolist())
