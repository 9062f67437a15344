# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Seeded synthetic fundus photographs with disc and cup masks, one by one or as folders."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grata_monai._checks import check_number
from grata_monai._files import write_csv
from grata_monai.data._fundus_anatomy import draw_anatomy
from grata_monai.data._fundus_camera import photograph
from grata_monai.data._fundus_painter import paint_eye
from grata_monai.data.synthetic_domains import SyntheticDomain, synthetic_domain
from grata_monai.imaging import write_png

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_SMALLEST_SIZE = 32
_LARGEST_SIZE = 4096
_TEST_EVERY = 5  # images 1, 6, 11, ... (counted from 0) are the test split


def paint_fundus(
    domain: SyntheticDomain | str, *, seed: int | Sequence[int], size: int = 512
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Paint one photograph of the region around the optic disc, with its mask.

    The same seed gives the same bits on the same library versions. The eye and the settings of
    the shot do not depend on ``size``; only the finest grain does.

    Args:
        domain: A domain or the name of one of the five.
        seed: Non-negative number, or several of them.
        size: Side of the image in pixels, 32 to 4096.

    Returns:
        The photograph, ``(size, size, 3)`` RGB, and its mask, ``(size, size)`` in the encoding of
        the published folders: 0 = cup, 128 = rim, 255 = background.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> image, mask = paint_fundus("Synthetic_A", seed=0, size=64)
        >>> image.shape, np.unique(mask).tolist()
        ((64, 64, 3), [0, 128, 255])
    """
    check_number(
        "paint_fundus", "size", size, minimum=_SMALLEST_SIZE, maximum=_LARGEST_SIZE, integer=True
    )
    for number in (seed,) if isinstance(seed, int) else seed:
        check_number("paint_fundus", "seed", number, minimum=0, integer=True)
    style = synthetic_domain(domain) if isinstance(domain, str) else domain
    # Separate streams, so that a change in one part of the painter leaves the others alone.
    for_eye, for_paint, for_shot = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3)
    )
    anatomy = draw_anatomy(style.eye, style.camera, for_eye)
    picture, mask = paint_eye(anatomy, size, for_paint)
    nasal_side = 1 if anatomy.is_left else -1
    return photograph(picture, style.camera, for_shot, nasal_side=nasal_side), mask


def write_synthetic_domain(
    root: str | os.PathLike[str],
    domain: SyntheticDomain | str,
    *,
    images: int,
    size: int = 512,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> tuple[Path, Path]:
    """Write a synthetic domain in the folder layout of the published fundus data.

    ``root`` receives ``<name>_train.csv`` and ``<name>_test.csv`` (header ``image,mask``) and the
    folders ``<name>/{train,test}/{image,mask}``. One image in five is a test image. Image ``i``
    depends on the domain, the seed, the size and ``i`` alone, so that a larger set contains the
    smaller one. The CSV files are written last: a folder with them is complete. Images of an
    earlier, larger set of the same domain are removed, nothing else is.

    Args:
        root: Folder to write into; it is made if it is missing.
        domain: A domain or the name of one of the five.
        images: Number of images, 2 (one per split) or more.
        size: Side of the images in pixels, 32 to 4096.
        seed: Non-negative number.
        progress: Called with 1 after each image, as ``tqdm.update`` and click's ``update`` are.

    Returns:
        The two CSV files.

    Raises:
        ValueError: If an argument is out of its range.
        OSError: If the folder cannot be written.
    """
    owner = "write_synthetic_domain"
    check_number(owner, "images", images, minimum=2, integer=True)
    check_number(owner, "size", size, minimum=_SMALLEST_SIZE, maximum=_LARGEST_SIZE, integer=True)
    check_number(owner, "seed", seed, minimum=0, integer=True)
    style = synthetic_domain(domain) if isinstance(domain, str) else domain
    folder = Path(root)
    tables = {split: folder / f"{style.name}_{split}.csv" for split in ("train", "test")}
    for table in tables.values():
        table.unlink(missing_ok=True)
    rows: dict[str, list[tuple[str, str]]] = {split: [] for split in tables}
    for index in range(images):
        split = "test" if index % _TEST_EVERY == 1 else "train"
        pair = paint_fundus(style, seed=(seed, zlib.crc32(style.name.encode()), index), size=size)
        name = f"{style.name.lower()}_{index:04d}.png"
        row = tuple(f"{style.name}/{split}/{kind}/{name}" for kind in ("image", "mask"))
        for path, pixels in zip(row, pair, strict=True):
            write_png(pixels, folder / path)
        rows[split].append((row[0], row[1]))
        if progress is not None:
            progress(1)
    _remove_leftovers(folder, style.name, {path for pairs in rows.values() for path in pairs})
    for split, table in tables.items():
        _write_table(table, rows[split])
    return tables["train"], tables["test"]


def _write_table(path: Path, rows: list[tuple[str, str]]) -> None:
    write_csv(path, [("image", "mask"), *rows])


def _remove_leftovers(root: Path, name: str, kept: set[tuple[str, str]]) -> None:
    """Remove images that an earlier run with the same domain left and this one did not write."""
    paths = {path for row in kept for path in row}
    pattern = re.compile(rf"{re.escape(name.lower())}_\d{{4,}}\.png")
    for split in ("train", "test"):
        for kind in ("image", "mask"):
            for file in (root / name / split / kind).iterdir():
                if (
                    pattern.fullmatch(file.name)
                    and f"{name}/{split}/{kind}/{file.name}" not in paths
                ):
                    file.unlink()
