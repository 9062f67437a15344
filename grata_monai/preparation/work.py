# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Prepare one image, from its files to its files; runs in worker processes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from grata_monai._files import sha256_of
from grata_monai.imaging import ImageSource, exif_orientation, read_photograph, write_png
from grata_monai.preparation.decoding import Mask, Notes, check_mask, fit_mask
from grata_monai.preparation.problems import FileError, Problem
from grata_monai.preparation.raw_dataset import RawDataset, RawItem
from grata_monai.preparation.records import Record, image_path, mask_path
from grata_monai.preparation.region import Region, RegionOptions, cut_region
from grata_monai.preparation.sources import RawFile

_ADDRESS = re.compile(r" ?<_io\.BytesIO object at 0x[0-9a-f]+>")  # differs from run to run


@dataclass(frozen=True, kw_only=True)
class Job:
    """One image to prepare.

    Args:
        item: Its files.
        dataset: How to read them.
        options: How to cut.
        center: (row, column) for the center "file".
        root: Folder to write to; None only checks.
        fingerprint: Stands for everything that the result depends on.
    """

    item: RawItem
    dataset: RawDataset
    options: RegionOptions
    center: tuple[float, float] | None
    root: Path | None
    fingerprint: str


def run_job(job: Job) -> Record | Problem:
    """Prepare one image.

    Returns:
        Its record, or what is wrong with it. Files that cannot be written raise OSError.
    """
    item = job.item
    notes = Notes()
    try:
        photograph = _read_photograph(item, job.options, notes)
        photograph = np.ascontiguousarray(job.dataset.view(photograph))
    except FileError as error:
        return error.of(item.image.location)
    levels: list[npt.NDArray[Any]] = []
    for file in item.masks:
        try:
            levels.append(_read_levels(job.dataset, file))
        except FileError as error:
            return error.of(file.location)
    try:
        mask = _decode(job.dataset, levels, photograph.shape[:2], notes)
    except FileError as error:
        return error.of(" and ".join(file.location for file in item.masks))
    try:
        region = cut_region(
            photograph, mask, job.options, given=job.center, locate=_locate, notes=notes
        )
    except FileError as error:
        return error.of(item.image.location)
    return _write(job, region, photograph.shape[:2], notes)


def _locate(photograph: npt.NDArray[np.uint8]) -> tuple[tuple[float, float], float]:
    from grata_monai.localization import locate_disc  # slow to import and seldom needed

    try:
        found = locate_disc(photograph)
    except ValueError as error:
        raise FileError(
            "the disc cannot be located", "Give its center with --center file.", str(error)
        ) from error
    return (found.row, found.column), found.confidence


def _read_photograph(item: RawItem, options: RegionOptions, notes: Notes) -> npt.NDArray[np.uint8]:
    try:
        source = ImageSource(item.image.location, item.image.read())
        orientation = exif_orientation(source)
        if orientation != 1 and options.exif == "refuse":
            raise FileError(
                "the photograph has an EXIF orientation, so viewers show it turned",
                "If the masks were drawn on the turned photograph choose --exif apply, if on the "
                "stored pixels --exif ignore.",
                f"orientation {orientation}",
            )
        notes.add("exif_orientation", orientation if orientation != 1 else 0)
        image = read_photograph(source, follow_exif=options.exif == "apply")
    except (OSError, ValueError) as error:
        raise unreadable("photograph", error) from error
    pixels = np.asarray(image)
    if (pixels == pixels[0, 0]).all():
        raise FileError("the photograph has one color only", "Download it again, or leave it out.")
    return pixels


def _read_levels(dataset: RawDataset, file: RawFile) -> npt.NDArray[Any]:
    try:
        return dataset.read_levels(file)
    except (OSError, ValueError) as error:
        raise unreadable("mask", error) from error


def _decode(
    dataset: RawDataset,
    levels: Sequence[npt.NDArray[Any]],
    size: tuple[int, ...],
    notes: Notes,
) -> Mask | None:
    if not levels:
        return None
    if len({level.shape for level in levels}) > 1:
        raise FileError(
            "the masks of disc and cup differ in size",
            "Get both from the same source.",
            " and ".join(f"{level.shape[1]}x{level.shape[0]}" for level in levels),
        )
    mask = dataset.decode(levels, notes)
    return check_mask(fit_mask(mask, (size[0], size[1]), dataset.size_rule, notes), notes)


def unreadable(kind: str, error: Exception) -> FileError:
    """Return the error for a file that cannot be decoded."""
    reason = _ADDRESS.sub("", str(error.__cause__ or error))
    return FileError(f"the {kind} cannot be read", "Download or export it again.", reason)


def _write(job: Job, region: Region, native_size: tuple[int, ...], notes: Notes) -> Record:
    item, domain = job.item, job.dataset.domain
    image = image_path(domain, item.split, item.name)
    mask = mask_path(domain, item.split, item.name) if region.mask is not None else ""
    files: dict[str, str] = {}
    if job.root is not None:
        files[image] = _write_checked(region.image, job.root / image)
        if region.mask is not None:
            files[mask] = _write_checked(region.mask, job.root / mask)
    return Record(
        image=image,
        mask=mask,
        name=item.name,
        split=item.split,
        source=item.image.path,
        source_masks=[file.path for file in item.masks],
        native_height=native_size[0],
        native_width=native_size[1],
        top=region.window.top,
        left=region.window.left,
        roi_height=region.window.height,
        roi_width=region.window.width,
        height=region.image.shape[0],
        width=region.image.shape[1],
        center_row=round(region.center[0], 2),
        center_col=round(region.center[1], 2),
        center_from=region.center_from,
        border=job.options.border,
        turned=notes.counts.get("exif_orientation", 1) if job.options.exif == "apply" else 1,
        disc_px=int((region.mask < 255).sum()) if region.mask is not None else None,
        cup_px=int((region.mask == 0).sum()) if region.mask is not None else None,
        notes=dict(notes.counts),
        fingerprint=job.fingerprint,
        files=files,
    )


def _write_checked(pixels: npt.NDArray[Any], path: Path) -> str:
    """Write a PNG and return the checksum of the file."""
    write_png(pixels, path)
    return sha256_of(path)
