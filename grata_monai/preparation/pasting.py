# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Take the label maps of prepared regions back to the photographs that the regions are from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from grata_monai.imaging import (
    ImageSource,
    draw_overlay,
    read_levels,
    read_photograph,
    turn_back,
    write_png,
)
from grata_monai.preparation.records import Placement, read_placements
from grata_monai.preparation.region import paste_back
from grata_monai.preparation.sources import RawFile, open_raw


def paste_folder(
    predictions: str | os.PathLike[str],
    roi_table: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    suffix: str = "_seg",
    raw: str | os.PathLike[str] | None = None,
) -> int:
    """Write the label map of every region in the size of its photograph, rows as stored.

    Args:
        predictions: Folder with ``NAME<suffix>.png`` (also in subfolders): 0 background, 1 rim,
            2 cup.
        roi_table: The ``roi.csv`` that prepare wrote.
        out: Folder for ``NAME<suffix>.png`` and, with ``raw``, ``NAME_overlay.png``.
        suffix: What follows the name.
        raw: Folder or archive with the raw photographs.

    Returns:
        The number of label maps.

    Raises:
        FileNotFoundError: If the table or a photograph is missing.
        ValueError: If there is no label map of the table, two of one image, or one that is none.
    """
    placements = read_placements(Path(roi_table))
    found: dict[str, Path] = {}
    for path in sorted(Path(predictions).rglob(f"*{suffix}.png")):
        name = path.stem[: len(path.stem) - len(suffix)]
        if name in placements and found.setdefault(name, path) != path:
            raise ValueError(f"{found[name]} and {path} are of one image. Keep one of them.")
    if not found:
        raise ValueError(
            f"{predictions} has no file NAME{suffix}.png of an image in {roi_table}, such as "
            f"{next(iter(placements), 'NAME')}{suffix}.png."
        )
    with ExitStack() as stack:
        files = [] if raw is None else stack.enter_context(open_raw([raw]))
        photographs = _photographs(files, [placements[name].source for name in found], raw)
        for name, path in found.items():
            _paste(path, placements[name], Path(out), suffix, photographs)
    return len(found)


def _photographs(
    files: Sequence[RawFile], sources: Sequence[str], raw: str | os.PathLike[str] | None
) -> dict[str, RawFile]:
    """Return the photographs by their path in the download, which may be unpacked by now."""
    if raw is None:
        return {}
    photographs = {}
    for source in sources:
        inside = source.split(".zip/")[-1]
        fits = [file for file in files if f"/{file.path}".endswith(f"/{inside}")]
        if len(fits) != 1:
            raise FileNotFoundError(
                f"{raw} has {len(fits)} files {inside}; give the folder or archive that the images "
                "were prepared from, or leave the overlays out."
            )
        photographs[source] = fits[0]
    return photographs


def _paste(
    path: Path,
    placement: Placement,
    out: Path,
    suffix: str,
    photographs: Mapping[str, RawFile],
) -> None:
    labels = read_levels(path)
    if labels.max(initial=0) > 2:
        raise ValueError(
            f"{path} is no label map: it has levels up to {labels.max()} instead of 0, 1 and 2."
        )
    height, width = placement.native_size
    whole = paste_back(labels.astype(np.uint8), placement.window, (height, width))
    stored = turn_back(whole, placement.turned)
    file = photographs.get(placement.source)
    if file is not None:
        source = ImageSource(file.location, file.read())
        # of a stereo pair the left view counts, to which the sizes belong
        pixels = np.asarray(read_photograph(source, follow_exif=False))
        photograph = pixels[: stored.shape[0], : stored.shape[1]]
        write_png(draw_overlay(photograph, stored), out / f"{placement.name}_overlay.png")
    write_png(stored, out / f"{placement.name}{suffix}.png")
