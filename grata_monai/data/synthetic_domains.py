# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Five synthetic fundus domains whose differences look like those between real cameras."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

from grata_monai._checks import check_choice
from grata_monai.data._fundus_styles import CameraStyle, EyeStyle


@dataclass(frozen=True)
class SyntheticDomain:
    """A synthetic domain: which eyes are seen, and the camera that sees them.

    The eyes and cameras are invented; no image of a real data set was used to fit them.

    Args:
        name: Name in file names and on the command line.
        title: What sets the domain apart, in a few words.
        eye: How the eyes look.
        camera: How the camera renders them.
    """

    name: str
    title: str
    eye: EyeStyle = field(default_factory=EyeStyle)
    camera: CameraStyle = field(default_factory=CameraStyle)


_A = SyntheticDomain(
    name="Synthetic_A",
    title="reddish, large discs, dark corners",
    eye=EyeStyle(
        disc_radius=(0.20, 0.29),
        cup_ratio=(0.30, 0.75),
        pallor=(0.60, 0.95),
        pigment=(0.30, 0.80),
        tessellation=(0.0, 0.4),
    ),
    camera=CameraStyle(
        off_center=0.02,
        vignette=(0.2, 0.7),
        illumination=(0.0, 0.5),
        gains=((1.0, 1.1), (0.86, 1.0), (0.85, 1.1)),
        blur=(0.001, 0.0025),
        noise=(0.006, 0.014),
        gamma=(0.95, 1.15),
    ),
)
_B = SyntheticDomain(
    name="Synthetic_B",
    title="sharp, brown, white cups, often at the border of the field of view",
    eye=EyeStyle(
        disc_radius=(0.16, 0.23),
        cup_ratio=(0.25, 0.65),
        pallor=(0.75, 1.0),
        pigment=(0.40, 1.0),
        fibers=(0.3, 0.9),
        atrophy=(0.1, 0.8),
    ),
    camera=CameraStyle(
        field_edge=0.45,
        gains=((0.95, 1.08), (0.95, 1.05), (1.0, 1.2)),
        exposure=(0.95, 1.2),
        blur=(0.0008, 0.0016),
        noise=(0.008, 0.018),
        gamma=(1.0, 1.25),
    ),
)
_C = SyntheticDomain(
    name="Synthetic_C",
    title="hazy, yellowish, small faint discs, strong compression",
    eye=EyeStyle(
        disc_radius=(0.16, 0.23),
        cup_ratio=(0.30, 0.75),
        pallor=(0.45, 0.85),
        rim_contrast=(0.4, 0.8),
        disc_edge=(0.08, 0.16),
        pigment=(0.1, 0.6),
        tessellation=(0.1, 0.7),
    ),
    camera=CameraStyle(
        off_center=0.04,
        haze=(0.05, 0.25),
        haze_color=(0.62, 0.45, 0.30),
        gains=((0.98, 1.08), (0.94, 1.06), (0.8, 1.05)),
        blur=(0.0015, 0.003),
        noise=(0.004, 0.010),
        gamma=(0.85, 1.05),
        jpeg_quality=(35, 65),
    ),
)
_D = SyntheticDomain(
    name="Synthetic_D",
    title="pinkish, pale, noisy, uneven light, off center at the border of the field of view",
    eye=EyeStyle(
        disc_radius=(0.15, 0.22),
        cup_ratio=(0.25, 0.70),
        pallor=(0.4, 0.8),
        rim_contrast=(0.4, 0.75),
        pigment=(0.2, 0.7),
    ),
    camera=CameraStyle(
        off_center=0.06,
        field_edge=0.6,
        haze=(0.05, 0.30),
        haze_color=(0.55, 0.36, 0.32),
        gains=((0.95, 1.08), (0.84, 0.98), (1.0, 1.4)),
        blur=(0.002, 0.0045),
        noise=(0.010, 0.024),
        gamma=(0.95, 1.2),
        illumination=(0.2, 0.8),
        saturation=(0.6, 0.9),
    ),
)
_E = SyntheticDomain(
    name="Synthetic_E",
    title="dark orange, defocused, large discs with large cups",
    eye=EyeStyle(
        disc_radius=(0.22, 0.31),
        cup_ratio=(0.45, 0.88),
        pallor=(0.4, 0.95),
        rim_contrast=(0.60, 0.95),
        disc_edge=(0.05, 0.12),
        pigment=(0.4, 1.0),
        tessellation=(0.0, 0.5),
    ),
    camera=CameraStyle(
        off_center=0.02,
        gains=((0.95, 1.1), (0.72, 0.95), (0.45, 0.95)),
        exposure=(0.7, 1.05),
        blur=(0.003, 0.006),
        noise=(0.006, 0.014),
        gamma=(1.0, 1.35),
        vignette=(0.0, 0.5),
        jpeg_quality=(70, 90),
    ),
)

SYNTHETIC_DOMAINS = MappingProxyType({domain.name: domain for domain in (_A, _B, _C, _D, _E)})
"""The five synthetic domains by name."""


def synthetic_domain(name: str) -> SyntheticDomain:
    """Return a synthetic domain by its name.

    Raises:
        ValueError: If there is none of that name; a close match is suggested.

    Example:
        >>> synthetic_domain("Synthetic_E").title
        'dark orange, defocused, large discs with large cups'
    """
    check_choice("synthetic_domain", "name", name, SYNTHETIC_DOMAINS)
    return SYNTHETIC_DOMAINS[name]
