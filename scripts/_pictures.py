# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures to try a guard on: fundus images changed plausibly or not, and pictures of other things.

All are SxSx3 float arrays, about in [0, 1]; nothing is downloaded, all draws are seeded.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Picture = NDArray[np.float32]
Named = Iterator[tuple[str, Picture]]
PHOTOGRAPHS = (
    "astronaut.png camera.png brick.png cell.png chelsea.png clock_motion.png coffee.png coins.png "
    "color.png grass.png gravel.png horse.png hubble_deep_field.jpg ihc.png logo.png moon.png "
    "motorcycle_left.png page.png phantom.png rocket.jpg text.png"
)


def plausible(image: Picture) -> Named:
    """Yield a fundus image as other cameras, operators and files might show it."""
    size, generator = len(image), np.random.default_rng(0)
    row, column = np.mgrid[0:size, 0:size] / (size - 1) * 2 - 1
    radius = (row**2 + column**2)[..., None]
    picture = to_pil(image)
    half, quarter = size // 2, size // 4
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=10)
    yield "darker", image * 0.35
    yield "brighter", np.clip(image * 1.6, 0, 1)
    yield "gamma 2", image**2.0
    yield "gamma 0.5", image**0.5
    yield "blurred", from_pil(picture.filter(ImageFilter.GaussianBlur(size / 100)))
    yield "out of focus", from_pil(picture.filter(ImageFilter.GaussianBlur(size / 50)))
    yield "JPEG, quality 10", from_pil(Image.open(buffer))
    yield "noise 0.05", image + generator.normal(0, 0.05, image.shape)
    yield "noise 0.1", image + generator.normal(0, 0.1, image.shape)
    yield "warm", image * [1.2, 1.0, 0.6]
    yield "cold", image * [0.7, 1.0, 1.5]
    yield "green cast", image * [0.7, 1.2, 0.8]
    yield "upside down", image[::-1, ::-1]
    yield "turned by 90", np.rot90(image)
    yield "dark corners", image * np.clip(1.2 - 0.8 * radius, 0, 1)
    yield "haze", image * 0.5 + 0.4
    yield "round frame", image * (radius < 1)
    yield "red-free", np.repeat(image[..., 1:2], 3, axis=2)
    yield "gray", np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    middle = picture.crop((quarter, quarter, quarter + half, quarter + half))
    yield "enlarged twice", from_pil(middle.resize((size, size), Image.Resampling.BICUBIC))


def spoiled(image: Picture) -> Named:
    """Yield a fundus image changed beyond what any camera does."""
    size, generator = len(image), np.random.default_rng(1)
    yield "inverted", 1 - image
    yield "channels in reverse", image[..., ::-1]
    yield "red and green exchanged", image[..., [1, 0, 2]]
    pixels = image.reshape(-1, 3)[generator.permutation(size * size)]
    yield "pixels shuffled", pixels.reshape(size, size, 3)
    side = size // 8
    tiles = image[: side * 8, : side * 8].reshape(8, side, 8, side, 3).transpose(0, 2, 1, 3, 4)
    tiles = tiles.reshape(64, side, side, 3)[generator.permutation(64)].reshape(8, 8, side, side, 3)
    yield "tiles shuffled", tiles.transpose(0, 2, 1, 3, 4).reshape(side * 8, side * 8, 3)
    yield "black or white", (image > 0.5).astype(np.float32)
    yield "noise 0.3", image + generator.normal(0, 0.3, image.shape)


def foreign(size: int) -> Named:
    """Yield pictures of other things."""
    yield from _noise(size)
    yield from _drawn(size)
    yield from _writing(size)
    yield from _medical(size)
    folder = Path(skimage.__file__).parent / "data"
    for name in PHOTOGRAPHS.split():
        if (folder / name).exists():  # what the installed version comes with
            picture = Image.open(folder / name).convert("RGB")
            yield "photograph", from_pil(picture.resize((size, size), Image.Resampling.BICUBIC))


def _noise(size: int) -> Named:
    generator = np.random.default_rng(2)
    for number in range(3):
        yield "noise", generator.uniform(size=(size, size, 3)).astype(np.float32)
        yield "noise", _gray(np.clip(generator.normal(0.5, 0.2, (size, size)), 0, 1))
        coarse = to_pil(generator.uniform(size=(16 >> number, 16 >> number, 3)))
        yield "clouds", from_pil(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _drawn(size: int) -> Named:
    row, column = np.mgrid[0:size, 0:size] / (size - 1)
    yield "gradient", _gray(column)
    yield "gradient", np.stack([column, row, 1 - column], 2)
    yield "gradient", np.stack([column, 0.6 * column, 0.3 * column], 2)
    for number in (2, 8, 32):
        yield "checkerboard", _gray((np.floor(row * number) + np.floor(column * number)) % 2)
    distance = (row - 0.5) ** 2 + (column - 0.5) ** 2
    yield "white disk", _gray(distance < 0.1)
    inside = (distance < 0.03)[..., None]
    yield "cartoon of a fundus", np.where(inside, [1, 0.9, 0.6], [0.7, 0.35, 0.15])


def _writing(size: int) -> Named:
    for ink, paper in ((255, 0), (0, 255)):
        page = Image.new("RGB", (size, size), (paper,) * 3)
        pen = ImageDraw.Draw(page)
        for line in range(10, size, 14):
            pen.text((8, line), "the quick brown fox jumps over the lazy dog", fill=(ink,) * 3)
        yield "page of text", from_pil(page)
        caption = Image.new("RGB", (size, size), (paper,) * 3)
        ImageDraw.Draw(caption).text((size // 3, size // 2), "NO IMAGE", fill=(ink,) * 3)
        yield "caption", from_pil(caption)


def _medical(size: int) -> Named:
    """Yield sketches of an X-ray, of optical coherence tomography and of ultrasound."""
    generator = np.random.default_rng(3)
    row, column = np.mgrid[0:size, 0:size] / (size - 1)
    lungs = sum(
        np.exp(-((column - middle) ** 2 / 0.02 + (row - 0.5) ** 2 / 0.08)) for middle in (0.3, 0.7)
    )
    ribs = 0.12 * np.sin(row * 60 + 8 * (column - 0.5) ** 2) ** 8
    grain = generator.normal(0, 0.03, row.shape)
    yield "X-ray", _gray(np.clip(0.75 - 0.5 * lungs + ribs, 0, 1))
    yield "X-ray", _gray(np.clip(0.75 - 0.5 * lungs + ribs + grain, 0, 1))
    bands = ((0, 0.01, 0.9), (0.05, 0.02, 0.4), (0.1, 0.012, 0.6), (0.17, 0.015, 0.9))
    for phase in (0.0, 1.0):
        surface = 0.35 + 0.08 * np.cos(3 * column + phase)
        layers = sum(a * np.exp(-(((row - surface - d) / w) ** 2)) for d, w, a in bands)
        yield "B-scan", _gray(np.clip(layers * generator.gamma(4, 0.25, row.shape), 0, 1))
    cone = np.abs(column - 0.5) < 0.1 + 0.4 * row
    speckle = (0.5 * np.exp(-row) + 0.1) * generator.gamma(1.5, 0.6, row.shape)
    yield "ultrasound", _gray(np.clip(speckle * cone, 0, 1))


def _gray(values: NDArray[np.generic]) -> Picture:
    return np.repeat(np.asarray(values, np.float32)[..., None], 3, axis=2)


def to_pil(image: NDArray[np.floating]) -> Image.Image:
    """Return an 8-bit picture."""
    return Image.fromarray((np.clip(image, 0, 1) * 255).round().astype(np.uint8))


def from_pil(image: Image.Image) -> Picture:
    """Return a picture's values in [0, 1]."""
    return np.asarray(image.convert("RGB"), np.float32) / 255
