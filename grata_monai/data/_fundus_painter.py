# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Paint an eye as a perfect camera would see it: retina, disc, cup and vessels in color."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from grata_monai.data._fundus_vessels import FOVEA, draw_vessels, grow_vessels
from grata_monai.data._fundus_view import REGION, View

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grata_monai.data._fundus_anatomy import Anatomy, Distances

# Red, green, blue of the tissues, read off by eye from textbook photographs.
_LIGHT_RETINA = (0.62, 0.36, 0.15)
_DARK_RETINA = (0.36, 0.23, 0.13)
_CHOROID = (0.60, 0.22, 0.08)
_FIBERS = (0.50, 0.46, 0.34)
_CRESCENT = (0.60, 0.46, 0.30)
_RIM = (0.86, 0.43, 0.22)
_CUP = (1.06, 0.96, 0.66)
# Optical density per thickness: vessels take green and blue, veins some red too.
_VEIN_DENSITY = (0.46, 1.45, 1.10)
_ARTERY_DENSITY = (0.16, 1.00, 0.85)


@dataclass(frozen=True)
class _Scene:
    """What every layer of the picture needs to know about the pixels.

    Args:
        view: The part of the eye that is painted.
        rows: Row of each pixel in region sides; shape ``(S, 1)``.
        columns: Column of each pixel, growing temporally; shape ``(1, S)``.
        disc: Position of each pixel relative to the disc; shape ``(S, S)``.
        cup: Position of each pixel relative to the cup.
        pale_area: Position of each pixel relative to the pale area in the cup.
    """

    view: View
    rows: NDArray[np.float32]
    columns: NDArray[np.float32]
    disc: Distances
    cup: Distances
    pale_area: Distances

    @property
    def size(self) -> int:
        """Side of the picture in pixels."""
        return int(self.rows.shape[0])

    def texture(self, generator: np.random.Generator, per_region: int) -> NDArray[np.float32]:
        """Return smooth noise with so many independent values along the side of the region."""
        return smooth_field(generator, self.view.cells(per_region), self.size)


def paint_eye(
    anatomy: Anatomy, size: int, generator: np.random.Generator, *, view: View = REGION
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Paint one eye.

    Args:
        anatomy: The eye.
        size: Side of the picture in pixels.
        generator: Source of the vessels and textures.
        view: The part of the eye to paint.

    Returns:
        The picture, ``(3, size, size)`` from 0 (black) to about 1, and its mask,
        ``(size, size)`` with 0 = cup, 128 = rim, 255 = background.
    """
    scene = _make_scene(anatomy, size, view)
    picture = _paint_retina(anatomy, scene, generator)
    _paint_crescent(picture, anatomy, scene, generator)
    _paint_disc(picture, anatomy, scene, generator)
    vessels = grow_vessels(anatomy, generator, view=view)
    for arteries, density in ((True, _ARTERY_DENSITY), (False, _VEIN_DENSITY)):
        thickness = draw_vessels(vessels, size, arteries=arteries, view=view)
        picture *= np.exp(-thickness * _planes(density))
    mask = _paint_mask(scene)
    if anatomy.is_left:
        return np.ascontiguousarray(picture[..., ::-1]), np.ascontiguousarray(mask[:, ::-1])
    return picture, mask


def smooth_field(
    generator: np.random.Generator, cells: int, size: int, *, rows: int | None = None
) -> NDArray[np.float32]:
    """Return smooth noise of about unit deviation with ``cells`` independent values per side."""
    height = cells if rows is None else rows
    coarse = Image.fromarray(generator.normal(size=(height, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)


def smoothstep(
    values: NDArray[np.floating], low: float | NDArray[np.floating], high: float
) -> NDArray[np.float32]:
    """Rise smoothly from 0 at ``low`` to 1 at ``high`` (falls if ``high`` is the smaller)."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share), dtype=np.float32)


def _make_scene(anatomy: Anatomy, size: int, view: View) -> _Scene:
    rows, columns = view.pixels(size)
    return _Scene(
        view,
        rows,
        columns,
        disc=anatomy.disc.distance(rows, columns),
        cup=anatomy.cup.distance(rows, columns),
        pale_area=anatomy.pale_area.distance(rows, columns),
    )


def _paint_retina(
    anatomy: Anatomy, scene: _Scene, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Paint pigment, choroidal vessels, fiber streaks, grain and the shade towards the fovea."""
    pigment = anatomy.pigment + 0.10 * scene.texture(generator, 5)
    picture = _full(scene.size, _LIGHT_RETINA)
    _lay(picture, _DARK_RETINA, np.clip(pigment, 0.0, 1.0))
    shade = 1.0 + 0.07 * scene.texture(generator, 4) + 0.035 * scene.texture(generator, 40)
    shade += 0.03 * scene.texture(generator, 160)
    fovea = (scene.rows - FOVEA[0]) ** 2 + (scene.columns - FOVEA[1]) ** 2
    shade *= 1.0 - 0.35 * np.exp(-fovea / 0.18)
    if scene.view.extent > 1.0:  # the pit in its middle is seen in whole photographs only
        shade *= 1.0 - 0.30 * np.exp(-fovea / 0.012)
    picture *= shade
    choroid = 1.0 - np.abs(scene.texture(generator, 22)) * 1.6
    patchy = smoothstep(scene.texture(generator, 4), -0.6, 1.0)
    _lay(picture, _CHOROID, anatomy.tessellation * patchy * np.clip(choroid, 0.0, 1.0))
    _lay(picture, _FIBERS, anatomy.fibers * _fiber_streaks(scene, generator))
    return picture


def _fiber_streaks(scene: _Scene, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return fine radial streaks, strongest above and below the disc and fading outwards."""
    angular, radial = 420, 10
    streaks = np.abs(generator.normal(size=(radial, angular))).astype(np.float32)
    distance = scene.disc.relative
    around = (scene.disc.angles + np.pi) * ((angular - 1) / (2 * np.pi))
    outwards = np.minimum(distance * 2.5, radial - 1)
    pattern = ndimage.map_coordinates(streaks, [outwards, around], order=1, mode="grid-wrap")
    fading = np.exp(-0.9 * np.maximum(distance - 1.0, 0.0))
    poles = 0.25 + 0.75 * np.sin(scene.disc.angles) ** 2
    return np.asarray(0.55 * np.minimum(pattern, 1.4) * fading * poles, dtype=np.float32)


def _paint_crescent(
    picture: NDArray[np.float32],
    anatomy: Anatomy,
    scene: _Scene,
    generator: np.random.Generator,
) -> None:
    """Paint the pale parapapillary crescent and the dark pigment line at its border."""
    temporal = smoothstep(np.cos(scene.disc.angles), -0.5, 0.9)
    ragged = 0.05 * scene.texture(generator, 24)
    reach = 1.0 + (0.08 + 0.30 * anatomy.atrophy) * temporal + ragged * temporal
    inside = smoothstep(scene.disc.relative - reach, 0.05, -0.05) * temporal
    _lay(picture, _CRESCENT, 0.75 * anatomy.atrophy * inside)
    line = np.exp(-(((scene.disc.relative - reach - 0.05) / 0.06) ** 2)) * temporal
    picture *= 1.0 - 0.35 * anatomy.atrophy * line


def _paint_disc(
    picture: NDArray[np.float32],
    anatomy: Anatomy,
    scene: _Scene,
    generator: np.random.Generator,
) -> None:
    """Paint the rim (redder on the nasal side) and the pale cup with its pores."""
    edge = anatomy.disc_edge
    alpha = smoothstep(scene.disc.relative, 1.0 + edge, 1.0 - edge)
    glow = 0.22 * np.exp(-6.0 * np.maximum(scene.disc.relative - 1.0, 0.0))
    picture *= 1.0 + glow
    rim = _full(scene.size, _RIM)
    texture = 1.0 + 0.05 * scene.texture(generator, 9) + 0.02 * scene.texture(generator, 60)
    paleness = 0.10 * np.cos(scene.disc.angles) * np.minimum(scene.disc.relative, 1.0)
    rim *= texture * (0.96 + paleness)
    rim[1:] *= 1.0 + paleness
    # The wall of the cup is nowhere a sharp line: its slope differs around the cup.
    slope = 0.22 + 0.10 * np.sin(scene.pale_area.angles + generator.uniform(-np.pi, np.pi))
    floor = smoothstep(scene.pale_area.relative, 1.0 + slope, 0.72)
    bowl = 0.62 + 0.38 * np.clip(1.0 - scene.pale_area.relative**2, 0.0, 1.0)
    pores = 1.0 - generator.uniform(0.0, 0.10) * np.abs(scene.texture(generator, 72)) * floor
    _lay(rim, _CUP, anatomy.pallor * floor * bowl)
    rim *= pores
    visible = alpha * (0.45 + 0.55 * np.maximum(anatomy.rim_contrast, anatomy.pallor * floor))
    picture += (rim - picture) * visible


def _paint_mask(scene: _Scene) -> NDArray[np.uint8]:
    """Return the authors' encoding: 0 = cup, 128 = rim, 255 = background."""
    is_disc = scene.disc.relative < 1.0
    is_cup = is_disc & (scene.cup.relative < 1.0)
    return np.where(is_cup, 0, np.where(is_disc, 128, 255)).astype(np.uint8)


def _planes(color: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.asarray(color, dtype=np.float32)[:, None, None]


def _full(size: int, color: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.broadcast_to(_planes(color), (3, size, size)).copy()


def _lay(
    picture: NDArray[np.float32],
    color: tuple[float, float, float],
    share: NDArray[np.float32],
) -> None:
    """Cover ``share`` of each pixel of ``picture`` with a color, in place."""
    picture += (_planes(color) - picture) * share
