# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Seeded synthetic whole fundus photographs: a round field of view with the disc off its center."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from grata_monai._checks import check_number
from grata_monai.data._fundus_anatomy import draw_anatomy
from grata_monai.data._fundus_camera import photograph
from grata_monai.data._fundus_painter import paint_eye
from grata_monai.data._fundus_view import View, picture_places
from grata_monai.data.synthetic_domains import SyntheticDomain, synthetic_domain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grata_monai.data._fundus_anatomy import Anatomy
    from grata_monai.data._fundus_styles import EyeStyle

_OWNER = "paint_photograph"
_SMALLEST_SIDE = 32
_LARGEST_SIDE = 4096
# An outline sticks out of its ellipse by some percent.
_BUMPS = 1.1
_NASAL_SHIFT = (0.06, 0.20)  # of the disc from the picture's center, in widths
_VERTICAL_SHIFT = 0.05


def paint_photograph(
    domain: SyntheticDomain | str,
    *,
    seed: int | Sequence[int],
    height: int,
    width: int,
    disc_center: tuple[float, float] | None = None,
    disc_radius: float | None = None,
    extent: float = 2.6,
    field_diameter: float = 0.98,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Paint a whole photograph with its mask, black outside of the round field of view.

    The square around the disc whose side is the ``extent``-th part of the width looks as
    :func:`~grata_monai.data.paint_fundus` paints it. The same seed gives the same bits on the same
    library versions, but another eye than :func:`~grata_monai.data.paint_fundus`.

    Args:
        domain: A domain or the name of one of the five.
        seed: Non-negative number, or several of them.
        height: Pixels, 32 to 4096.
        width: Pixels, 32 to 4096.
        disc_center: (row, column) of the disc's center as shares of height and width. If it is
            right of the middle, so is the nasal side. Default: drawn, on either side.
        disc_radius: Vertical radius of the disc as a share of the width. Default: drawn from the
            domain's range.
        extent: How many sides of the region around the disc the width spans, 1 to 6. The
            benchmark's regions have 800 pixels; a photograph is 2048 or 2124 wide.
        field_diameter: Diameter of the field of view as a share of the width. It may be larger
            than the height, and with 2 there is no border at all.

    Returns:
        The photograph, ``(height, width, 3)`` RGB, and its mask, ``(height, width)`` in the
        encoding of the published folders: 0 = cup, 128 = rim, 255 = background.

    Raises:
        ValueError: If an argument is out of its range, or the disc would not be seen as a whole.

    Example:
        >>> photo, mask = paint_photograph("Synthetic_B", seed=0, height=90, width=100)
        >>> photo.shape, mask.shape, int(photo[0, 0].max()) < 10
        ((90, 100, 3), (90, 100), True)
    """
    _check_numbers(seed, height, width, extent, field_diameter)
    style = synthetic_domain(domain) if isinstance(domain, str) else domain
    # Separate streams as in paint_fundus, and one for the framing.
    for_eye, for_paint, for_shot, for_frame = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(4)
    )
    anatomy = draw_anatomy(_eye_of(style, disc_radius, extent), style.camera, for_eye)
    drawn = _draw_center(anatomy, for_frame)
    if disc_center is None:
        disc_center = drawn
    elif disc_center[1] != 0.5:
        anatomy = dataclasses.replace(anatomy, is_left=disc_center[1] > 0.5)
    _check_frame(anatomy, disc_center, height / width, extent, field_diameter)

    size = max(height, width)
    view = _frame(anatomy, disc_center, height / width, extent)
    picture, mask = paint_eye(anatomy, size, for_paint, view=view)
    pixels = photograph(
        picture,
        style.camera,
        for_shot,
        nasal_side=1 if anatomy.is_left else -1,
        extent=view.extent,
        field=_round_field(size, 0.5 * field_diameter * width / size),
    )
    top, left = (size - height) // 2, (size - width) // 2
    window = np.s_[top : top + height, left : left + width]
    return np.ascontiguousarray(pixels[window]), np.ascontiguousarray(mask[window])


def _check_numbers(
    seed: int | Sequence[int], height: int, width: int, extent: float, field_diameter: float
) -> None:
    for number in (seed,) if isinstance(seed, int) else seed:
        check_number(_OWNER, "seed", number, minimum=0, integer=True)
    for name, side in (("height", height), ("width", width)):
        check_number(
            _OWNER, name, side, minimum=_SMALLEST_SIDE, maximum=_LARGEST_SIDE, integer=True
        )
    check_number(_OWNER, "extent", extent, minimum=1.0, maximum=6.0)
    check_number(_OWNER, "field_diameter", field_diameter, minimum=0.2, maximum=4.0)


def _eye_of(style: SyntheticDomain, disc_radius: float | None, extent: float) -> EyeStyle:
    if disc_radius is None:
        return style.eye
    check_number(_OWNER, "disc_radius", disc_radius, minimum=0.01, maximum=0.4)
    radius = disc_radius * extent
    return dataclasses.replace(style.eye, disc_radius=(radius, radius))


def _draw_center(anatomy: Anatomy, generator: np.random.Generator) -> tuple[float, float]:
    """Draw where the disc lies: towards the nasal side of the middle, about as high as it."""
    shift = generator.uniform(*_NASAL_SHIFT) * (1 if anatomy.is_left else -1)
    return 0.5 + generator.uniform(-_VERTICAL_SHIFT, _VERTICAL_SHIFT), 0.5 + shift


def _frame(
    anatomy: Anatomy, disc_center: tuple[float, float], aspect: float, extent: float
) -> View:
    """Return the square part of the eye in whose middle the picture lies.

    Args:
        anatomy: The eye.
        disc_center: Where the disc is to lie, as shares of height and width.
        aspect: Height divided by width.
        extent: Width in region sides.
    """
    down = (disc_center[0] - 0.5) * extent * aspect
    right = (disc_center[1] - 0.5) * extent
    temporal = -right if anatomy.is_left else right
    return View(
        extent=extent * max(1.0, aspect),
        center=(anatomy.disc.center[0] - down, anatomy.disc.center[1] - temporal),
    )


def _check_frame(
    anatomy: Anatomy,
    disc_center: tuple[float, float],
    aspect: float,
    extent: float,
    field_diameter: float,
) -> None:
    """Check that the whole disc lies in the picture and in the field of view."""
    radius = _BUMPS * anatomy.disc.radius / extent
    down, right = (disc_center[0] - 0.5) * aspect, disc_center[1] - 0.5
    is_seen = (
        abs(down) + radius < 0.5 * aspect
        and abs(right) + radius < 0.5
        and math.hypot(down, right) + radius < 0.5 * field_diameter
    )
    if not is_seen:
        raise ValueError(
            f"The disc would not be seen as a whole: {_OWNER} got disc_center={disc_center} for a "
            f"disc of radius {radius / _BUMPS:.3f} widths in a picture of 1 x {aspect:.2f} widths "
            f"with field_diameter={field_diameter}. Move it, or raise 'extent'."
        )


def _round_field(size: int, radius: float) -> NDArray[np.float32]:
    """Return 1 inside the field of view and 0 outside; ``radius`` is a share of the side."""
    places = picture_places(size)
    distance = np.hypot(places[:, None], places[None, :])
    softness = max(0.004, 1.0 / size)
    return np.asarray(np.clip((radius - distance) / softness, 0.0, 1.0), dtype=np.float32)
