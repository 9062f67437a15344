# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Sheets of a domain's images with the outlines of disc and cup, to look at."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from grata_monai._checks import check_number
from grata_monai.imaging import (
    draw_contact_sheet,
    draw_overlay,
    label_map,
    read_mask,
    read_photograph,
    split_grey,
)
from grata_monai.imaging.contact_sheet import broken_tile
from grata_monai.preparation.folder import ListedImage, listed_images
from grata_monai.preparation.parallel import parallel_map


@dataclass(frozen=True)
class _Tile:
    image: ListedImage
    side: int


def preview_folder(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    domains: Sequence[str] | None = None,
    images: int = 24,
    every: bool = False,
    columns: int = 6,
    tile: int = 256,
    jobs: int | None = None,
    progress: bool = True,
) -> list[Path]:
    """Write a contact sheet per domain: outlines of disc and cup, and the files' names.

    Images that cannot be read become grey tiles that say so.

    Args:
        root: Folder in the authors' layout.
        out: Folder for the sheets, DOMAIN.png, or DOMAIN_01.png and so on.
        domains: Names of domains; all by default.
        images: Images on a sheet, evenly spaced over the list.
        every: Show all images, on as many sheets as it takes.
        columns: Pictures side by side.
        tile: Side of a picture in pixels.
        jobs: Processes; None: as many as there are cores.
        progress: Whether to show a progress bar.

    Returns:
        The sheets.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it has no lists, or not of such a domain, or a number is out of its range.
    """
    for name, value, largest in (("images", images, 1000), ("columns", columns, 100)):
        check_number("preview_folder", name, value, minimum=1, maximum=largest, integer=True)
    check_number("preview_folder", "tile", tile, minimum=16, maximum=2048, integer=True)
    written = []
    for domain, listed in listed_images(root, domains).items():
        chosen = listed if every else _evenly(listed, images)
        pages = [chosen[start : start + images] for start in range(0, len(chosen), images)]
        digits = len(str(len(pages)))
        for number, page in enumerate(pages, start=1):
            suffix = f"_{number:0{digits}d}" if len(pages) > 1 else ""
            path = Path(out) / f"{domain}{suffix}.png"
            work = [_Tile(image, tile) for image in page]
            drawn = parallel_map(_draw, work, jobs=jobs, label=path.name, progress=progress)
            _write_sheet(page, dict(drawn), columns=columns, tile=tile, path=path)
            written.append(path)
    return written


def _write_sheet(
    page: Sequence[ListedImage],
    tiles: Mapping[int, npt.NDArray[np.uint8]],
    *,
    columns: int,
    tile: int,
    path: Path,
) -> None:
    pictures = [tiles[index] for index in range(len(page))]
    captions = [image.image_path.name for image in page]
    starts = range(0, len(page), columns)
    draw_contact_sheet(
        [pictures[start : start + columns] for start in starts],
        captions=[captions[start : start + columns] for start in starts],
        path=path,
        tile=tile,
    )


def _evenly(listed: Sequence[ListedImage], count: int) -> list[ListedImage]:
    """Return this many rows from the first to the last."""
    places = np.linspace(0, len(listed) - 1, min(count, len(listed))).round().astype(int)
    return [listed[place] for place in places]


def _draw(job: _Tile) -> npt.NDArray[np.uint8]:
    try:
        image = read_photograph(job.image.image_path, follow_exif=False)
    except (OSError, ValueError):
        return broken_tile(job.side, "the image cannot be read")
    photograph = _fitted(image, job.side)
    if job.image.mask_path is None:
        return np.asarray(photograph)
    try:
        mask = read_mask(job.image.mask_path)
    except (OSError, ValueError):
        return broken_tile(job.side, "the mask cannot be read")
    grey = np.asarray(mask.resize(photograph.size, Image.Resampling.NEAREST))
    return draw_overlay(np.asarray(photograph), label_map(split_grey(grey)))


def _fitted(image: Image.Image, side: int) -> Image.Image:
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)
