# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What varies between synthetic fundus domains: the eyes that are seen and the camera that sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Range: TypeAlias = tuple[float, float]


def draw_in(generator: np.random.Generator, bounds: Range) -> float:
    """Draw from the bell-shaped Beta(2, 2) distribution stretched over ``bounds``."""
    low, high = bounds
    return low + (high - low) * float(generator.beta(2.0, 2.0))


@dataclass(frozen=True)
class EyeStyle:
    """How the eyes of a domain look; every range is drawn anew for each image.

    Args:
        disc_radius: Vertical radius of the optic disc as a share of the image side.
        cup_ratio: Vertical cup-to-disc ratio.
        pallor: How much brighter than the rim the cup is, 0 (not at all) to 1 (near white).
        rim_contrast: How clearly the rim stands out from the retina, 0 to 1.
        disc_edge: Width of the disc's soft border as a share of its radius.
        pigment: Pigmentation of the retina, 0 (light orange) to 1 (dark brown).
        tessellation: Strength of the choroidal vessels that shine through, 0 to 1.
        fibers: Strength of the nerve-fiber streaks around the disc, 0 to 1.
        atrophy: Strength of the parapapillary crescent beside the disc, 0 to 1.
    """

    disc_radius: Range = (0.18, 0.26)
    cup_ratio: Range = (0.3, 0.75)
    pallor: Range = (0.6, 1.0)
    rim_contrast: Range = (0.7, 1.0)
    disc_edge: Range = (0.04, 0.10)
    pigment: Range = (0.2, 0.8)
    tessellation: Range = (0.0, 0.5)
    fibers: Range = (0.1, 0.6)
    atrophy: Range = (0.0, 0.6)


@dataclass(frozen=True)
class CameraStyle:
    """How the camera of a domain renders an eye; every range is drawn anew for each image.

    Args:
        off_center: Largest distance of the disc from the image center, as a share of the side.
        field_edge: Probability that the black border of the field of view is in the image.
        exposure: Factor on the brightness of the whole image.
        illumination: Relative brightness change from one side of the image to the other.
        vignette: Relative darkening of the corners.
        haze: Share of stray light, 0 to 1.
        haze_color: Red, green and blue of the stray light, 0 to 1.
        blur: Standard deviation of the defocus as a share of the image side.
        gains: Factors on red, green and blue.
        saturation: 0 (gray) to 1 (as it is) and more.
        gamma: Exponent on the brightness; more than 1 darkens.
        noise: Standard deviation of the sensor noise, where 1 is full scale.
        jpeg_quality: Quality of the lossy compression; ``None`` for an image without any.
    """

    off_center: float = 0.03
    field_edge: float = 0.0
    exposure: Range = (0.9, 1.1)
    illumination: Range = (0.0, 0.4)
    vignette: Range = (0.0, 0.3)
    haze: Range = (0.0, 0.1)
    haze_color: tuple[float, float, float] = (0.5, 0.4, 0.3)
    blur: Range = (0.001, 0.002)
    gains: tuple[Range, Range, Range] = ((0.95, 1.05), (0.95, 1.05), (0.95, 1.05))
    saturation: Range = (0.9, 1.1)
    gamma: Range = (0.9, 1.1)
    noise: Range = (0.005, 0.015)
    jpeg_quality: tuple[int, int] | None = None
