# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Write grey masks as integer label maps: 0 background, 1 rim, 2 cup."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grata_monai.imaging import label_map, read_levels, read_mask, split_grey, write_png
from grata_monai.preparation.folder import ListedImage
from grata_monai.preparation.parallel import parallel_map


@dataclass(frozen=True)
class _Job:
    mask: Path
    target: Path


def write_label_maps(
    images: Sequence[ListedImage],
    folder: str | os.PathLike[str],
    *,
    jobs: int | None = None,
    progress: bool = True,
) -> list[Path]:
    """Write the label map of each image; files that are right already are left alone.

    Args:
        images: Rows with masks.
        folder: Receives DOMAIN/SPLIT/NAME.png, where NAME is the mask's.
        jobs: Processes; None: as many as there are cores.
        progress: Whether to show a progress bar.

    Returns:
        The files, in the order of the images.

    Raises:
        ValueError: If two masks would get one file, or a mask cannot be read.
        OSError: If a file cannot be written.
    """
    work: dict[Path, _Job] = {}
    targets: list[Path] = []
    for image in images:
        if image.mask_path is None:
            raise ValueError(f"{image.row} has no mask to make a label map of.")
        name = f"{image.mask_path.stem}.png"
        target = Path(folder).joinpath(image.domain, image.split, name)
        targets.append(target)
        job = _Job(image.mask_path, target)
        if work.setdefault(target, job) != job:
            raise ValueError(
                f"Both {work[target].mask} and {job.mask} would be written to {target}. Rename one."
            )
        if os.path.abspath(target) == os.path.abspath(image.mask_path):
            raise ValueError(f"The label map of {target} would replace it. Choose another folder.")
    for _ in parallel_map(
        _write, list(work.values()), jobs=jobs, label="label maps", progress=progress
    ):
        pass
    return targets


def _write(job: _Job) -> None:
    labels = label_map(split_grey(np.asarray(read_mask(job.mask))))
    if job.target.is_file():
        try:
            if np.array_equal(read_levels(job.target), labels):
                return
        except ValueError:
            pass  # broken, so that it is written again
    write_png(labels, job.target)
