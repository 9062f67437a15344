# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Image files that something is wrong with, and files that look odd and are fine."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import _pictures as pictures
import numpy as np
from PIL import Image

Write = Callable[[Path, Path], None]
"""Called with the paths of a sound photograph and its mask, the first of which it replaces."""
Bad = dict[str, tuple[str, Write]]
Odd = dict[str, tuple[Write, Write]]


def bad_images() -> Bad:
    """Return faults by name, each with the extension of the file and how to write it."""
    return {
        "random bytes": (
            ".png",
            lambda image, _: _write(image, np.random.default_rng(0).bytes(4096)),
        ),
        "empty file": (".png", lambda image, _: _write(image, b"")),
        "PNG cut off": (".png", lambda image, _: _write(image, image.read_bytes()[:200])),
        "PNG with a flipped byte": (".png", _flip),
        "one color": (".png", lambda image, _: _draw(image, np.full((64, 64, 3), 0.4))),
        "caption on black": (".png", lambda image, _: _draw(image, _picture(image, "caption"))),
        "NaN and infinity (TIFF of floats)": (".tif", _write_floats),
        "one pixel": (".png", _write_one_pixel),
        "five channels (TIFF)": (".tif", _write_five_channels),
        "bomb: 60000 x 60000 pixels in 68 bytes": (".png", _write_bomb),
        "noise": (".png", lambda image, _: _draw(image, _picture(image, "noise"))),
        "page of text": (".png", lambda image, _: _draw(image, _picture(image, "page of text"))),
        "checkerboard": (".png", lambda image, _: _draw(image, _picture(image, "checkerboard"))),
        "mask of another size": (".png", lambda _, mask: _draw(mask, np.zeros((40, 30, 3)))),
        "mask with colors": (".png", lambda _, mask: _draw(mask, _picture(mask, "noise"))),
        "link to nowhere": (".png", _write_link),
        "no permission": (".png", lambda image, _: image.chmod(0)),
    }


def odd_images() -> Odd:
    """Return kinds of files by name: how to write one plainly, and oddly with the same pixels."""
    return {
        "four channels (RGBA)": (lambda image, _: None, lambda image, _: _convert(image, "RGBA")),
        "two channels (gray, alpha)": (_gray, lambda image, _: _convert(image, "LA")),
        "16 bits of gray": (_gray, _deepen),
    }


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _draw(path: Path, picture: np.ndarray) -> None:
    pictures.to_pil(picture).save(path)


def _picture(like: Path, name: str) -> np.ndarray:
    """Return the first picture of something else that is called so."""
    size = Image.open(like).width
    return next(picture for found, picture in pictures.foreign(size) if found == name)


def _flip(image: Path, _: Path) -> None:
    data = bytearray(image.read_bytes())
    data[len(data) // 2] ^= 0xFF
    image.write_bytes(data)


def _write_floats(image: Path, _: Path) -> None:
    values = np.random.default_rng(1).uniform(size=(64, 64)).astype(np.float32)
    values[10:20, 10:20], values[30, 30] = np.nan, np.inf
    Image.fromarray(values).save(image)


def _write_one_pixel(image: Path, mask: Path) -> None:
    _draw(image, np.full((1, 1, 3), 0.5))
    Image.new("L", (1, 1), 255).save(mask)


def _write_five_channels(image: Path, _: Path) -> None:
    """Write an uncompressed TIFF of 8 x 8 pixels with five samples each."""
    bits = 8 + 2 + 10 * 12 + 4  # behind the header, the entries and the link to the next directory
    entries = [
        (256, 3, 1, 8),  # width
        (257, 3, 1, 8),  # height
        (258, 3, 5, bits),  # bits per sample
        (259, 3, 1, 1),  # no compression
        (262, 3, 1, 2),  # RGB
        (273, 4, 1, bits + 16),  # where the pixels are
        (277, 3, 1, 5),  # samples per pixel
        (278, 3, 1, 8),  # rows per strip
        (279, 4, 1, 8 * 8 * 5),  # bytes of pixels
        (284, 3, 1, 1),  # samples of a pixel side by side
    ]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4)
    pixels = np.random.default_rng(2).bytes(8 * 8 * 5)
    image.write_bytes(head + struct.pack("<5H", *[8] * 5) + bytes(6) + pixels)


def _write_bomb(image: Path, _: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(3))) + chunk(b"IEND", b"")
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def _write_link(image: Path, _: Path) -> None:
    image.unlink()
    image.symlink_to(image.with_name("nothing"))


def _gray(image: Path, _: Path) -> None:
    Image.open(image).convert("L").convert("RGB").save(image)


def _convert(image: Path, mode: str) -> None:
    picture = Image.open(image).convert(mode)
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(image)


def _deepen(image: Path, _: Path) -> None:
    levels = np.asarray(Image.open(image).convert("L"), np.uint16) * 257
    Image.fromarray(levels).save(image)
