# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Take the label maps of prepared regions back to the photographs that the regions are from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from grata_monai.imaging import draw_overlay, read_levels, read_photograph, write_png
from grata_monai.preparation.records import Placement, read_placements
from grata_monai.preparation.region import paste_back


def paste_folder(
    predictions: str | os.PathLike[str],
    roi_table: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    suffix: str = "_seg",
    raw: str | os.PathLike[str] | None = None,
) -> int:
    """Write the label map of every region in the size of its photograph.

    Args:
        predictions: Folder with ``NAME<suffix>.png`` (also in subfolders): 0 background, 1 rim,
            2 cup.
        roi_table: The ``roi.csv`` that prepare wrote.
        out: Folder for ``NAME<suffix>.png`` and, with ``raw``, ``NAME_overlay.png``.
        suffix: What follows the name.
        raw: Folder with the raw photographs.

    Returns:
        The number of label maps.

    Raises:
        FileNotFoundError: If the table or a photograph is missing.
        ValueError: If there is no label map of the table, or one is not such a map.
    """
    placements = read_placements(Path(roi_table))
    found = {
        path.stem[: len(path.stem) - len(suffix)]: path
        for path in sorted(Path(predictions).rglob(f"*{suffix}.png"))
    }
    known = [name for name in found if name in placements]
    if not known:
        raise ValueError(
            f"{predictions} has no file NAME{suffix}.png of an image in {roi_table}, such as "
            f"{next(iter(placements), 'NAME')}{suffix}.png."
        )
    for name in known:
        _paste(found[name], placements[name], Path(out), suffix, raw)
    return len(known)


def _paste(
    path: Path,
    placement: Placement,
    out: Path,
    suffix: str,
    raw: str | os.PathLike[str] | None,
) -> None:
    labels = read_levels(path)
    if labels.max(initial=0) > 2:
        raise ValueError(
            f"{path} is no label map: it has levels up to {labels.max()} instead of 0, 1 and 2."
        )
    whole = paste_back(labels.astype(np.uint8), placement.window, placement.native_size)
    write_png(whole, out / f"{placement.name}{suffix}.png")
    if raw is not None:
        height, width = placement.native_size
        photograph = np.asarray(read_photograph(Path(raw) / placement.source))[:height, :width]
        write_png(draw_overlay(photograph, whole), out / f"{placement.name}_overlay.png")
