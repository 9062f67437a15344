# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Photograph a painted eye: light, haze, defocus, color, field of view, noise, compression."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from grata_monai.data._fundus_styles import CameraStyle, draw_in
from grata_monai.data._fundus_view import picture_places

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LUMA = np.asarray((0.30, 0.59, 0.11), dtype=np.float32)


def photograph(
    picture: NDArray[np.float32],
    camera: CameraStyle,
    generator: np.random.Generator,
    *,
    nasal_side: int,
    extent: float = 1.0,
    field: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """Return the photograph that a camera takes of a painted eye.

    Args:
        picture: ``(3, S, S)`` from 0 to about 1; it is left as it is.
        camera: The camera's style.
        generator: Source of this shot's settings and of the noise.
        nasal_side: -1 if the nasal side is on the left of the picture, 1 if on the right; there
            the border of the field of view comes in, for photographs are centered on the fovea.
        extent: Side of the picture in region sides, see
            :class:`~grata_monai.data._fundus_view.View`.
        field: ``(S, S)``, 1 inside the field of view and 0 outside; ``None`` for the border that
            the camera's style asks for.
    """
    size = picture.shape[-1]
    places = picture_places(size)
    rows, columns = places[:, None], places[None, :]
    # All settings of the shot are drawn before any pixel changes, so that the settings do not
    # depend on the picture's size.
    light = _draw_light(camera, rows, columns, generator)
    haze = draw_in(generator, camera.haze)
    blur = draw_in(generator, camera.blur) * size / extent
    saturation = draw_in(generator, camera.saturation)
    gains = np.asarray([draw_in(generator, gain) for gain in camera.gains], dtype=np.float32)
    gamma = draw_in(generator, camera.gamma)
    noise = draw_in(generator, camera.noise)
    edge = _draw_field_edge(camera, rows, columns * -nasal_side, generator)
    edge = edge if field is None else field
    quality = camera.jpeg_quality and int(generator.integers(*camera.jpeg_quality, endpoint=True))

    image = picture * light
    image = ndimage.gaussian_filter(image, (0.0, blur, blur), truncate=3.0)
    image += haze * (_planes(camera.haze_color) * light - image)
    gray = np.tensordot(_LUMA, image, axes=1)
    image = np.maximum((gray + saturation * (image - gray)) * gains[:, None, None], 0.0) ** gamma
    image += _sensor_noise(image, noise, generator)
    if edge is not None:
        image *= edge
    # A soft shoulder instead of hard clipping, as in the tone curve of every camera.
    image = np.where(image > 0.8, 1.0 - 0.2 * np.exp(-(image - 0.8) / 0.2), image)
    pixels = np.clip(np.rint(image * 255.0), 0, 255).astype(np.uint8)
    pixels = np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
    return pixels if quality is None else _compress(pixels, quality)


def _draw_light(
    camera: CameraStyle,
    rows: NDArray[np.float32],
    columns: NDArray[np.float32],
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Return the light on each pixel: exposure, a slope in some direction, darker corners."""
    angle = generator.uniform(-math.pi, math.pi)
    slope = draw_in(generator, camera.illumination)
    vignette = draw_in(generator, camera.vignette)
    exposure = draw_in(generator, camera.exposure)
    falloff = 1.0 - 2.0 * vignette * (rows**2 + columns**2)
    tilt = 1.0 + slope * (math.sin(angle) * rows + math.cos(angle) * columns)
    return np.asarray(exposure * falloff * tilt, dtype=np.float32)


def _draw_field_edge(
    camera: CameraStyle,
    rows: NDArray[np.float32],
    from_nasal: NDArray[np.float32],
    generator: np.random.Generator,
) -> NDArray[np.float32] | None:
    """Return 1 inside the round field of view and 0 outside; ``None`` if it fills the image."""
    chance, depth, height = generator.uniform(size=3)
    if chance >= camera.field_edge:
        return None
    radius = 1.5
    center = -0.5 + 0.02 + 0.11 * depth + radius
    distance = np.hypot(rows - 0.3 * (height - 0.5), from_nasal - center)
    return np.asarray(np.clip((radius - distance) / 0.006, 0.0, 1.0), dtype=np.float32)


def _sensor_noise(
    image: NDArray[np.float32], deviation: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return noise that grows with the light, mostly the same in all colors, slightly smooth."""
    shape = image.shape
    raw = generator.standard_normal(shape, dtype=np.float32) * np.float32(0.6)
    raw += generator.standard_normal(shape[1:], dtype=np.float32)
    raw = ndimage.uniform_filter(raw, (1, 2, 2)) * np.float32(1.6)
    return np.asarray(raw * deviation * np.sqrt(0.15 + image), dtype=np.float32)


def _compress(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return what is left after lossy compression."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer, formats=["JPEG"])).copy()


def _planes(color: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.asarray(color, dtype=np.float32)[:, None, None]
