# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""CSV files of disc centers: written here, read as datalists, corrected by people."""

from __future__ import annotations

import math
import os
import posixpath
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from grata_monai._files import write_csv
from grata_monai.data import read_csv_rows
from grata_monai.localization.location import DiscLocation

COLUMNS = ("image", "center_row", "center_col", "confidence", "method", "note")
_NUMBERS = (("center_row", "center_col"), ("y", "x"))
Center = tuple[float, float]


def write_centers(
    path: str | os.PathLike[str], locations: Iterable[tuple[str | os.PathLike[str], DiscLocation]]
) -> None:
    """Write where discs are, as a CSV list that :func:`~grata_monai.data.fundus_datalist` reads.

    The columns are ``image`` (relative to the folder of the list, wherever there is such a path),
    ``center_row``, ``center_col``, ``confidence``, ``method`` and ``note``.

    Args:
        path: File to write.
        locations: Image files, and where their discs are.

    Raises:
        OSError: If the file cannot be written.
    """
    folder = os.path.abspath(Path(path).parent)
    rows: list[tuple[str, ...]] = [COLUMNS]
    for image, found in locations:
        center = (f"{found.row:.2f}", f"{found.column:.2f}", f"{found.confidence:.3f}")
        rows.append((_relative(image, folder), *center, found.method, found.note))
    write_csv(path, rows)


def read_centers(path: str | os.PathLike[str]) -> dict[str, Center]:
    """Read disc centers by the name of the image.

    Args:
        path: CSV list with the columns ``image``, ``center_row`` and ``center_col``, or ``image``,
            ``x`` and ``y`` (x counts columns, y rows). Other columns do no harm.

    Returns:
        ``(row, column)`` under the path as it is written (with slashes), and under every ending of
        it that fits no other row: ``Training/Images/7.png`` is also found as ``Images/7.png``,
        ``7.png`` and ``7``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such list; the message names the file, the line and the cure. An
            image must not be listed twice, and a name without folder and extension must not fit
            another row.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"The list of centers {path} does not exist.")
    rows, names = _read_rows(path)
    lines: dict[str, int] = {}
    centers: dict[str, Center] = {}
    for line, row in rows:
        image = posixpath.normpath(row["image"].replace("\\", "/")) if row.get("image") else ""
        if not image:
            raise ValueError(f"{path}, line {line}: the column 'image' is empty.")
        if image in lines:
            raise ValueError(
                f"{path}, lines {lines[image]} and {line}: {image!r} is listed twice. "
                "Delete one of the two."
            )
        lines[image] = line
        values = [_number(path, line, name, row.get(name, "")) for name in names]
        centers[image] = (values[0], values[1])
    if not centers:
        raise ValueError(f"{path} lists no centers: it has a header but no rows.")
    _check_bare_names(path, lines)
    return _with_endings(centers)


def _relative(image: str | os.PathLike[str], folder: str) -> str:
    absolute = os.path.abspath(image)
    try:
        return Path(os.path.relpath(absolute, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return Path(absolute).as_posix()


def _read_rows(path: Path) -> tuple[list[tuple[int, dict[str, str]]], tuple[str, str]]:
    """Return the non-empty rows with their lines, and the columns of row and column."""
    header, rows = read_csv_rows(path)
    for names in _NUMBERS:
        if {"image", *names} <= set(header):
            return rows, names
    raise ValueError(
        f"{path}, line 1: it must name the columns 'image,center_row,center_col' or 'image,x,y'. "
        f"Found: {', '.join(repr(name) for name in header) or 'nothing'}."
    )


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(
            f"{path}, line {line}: {column!r} must be a position in pixels, 0 or more. "
            f"Got {text!r}; correct it or delete the row."
        )
    return value


def _check_bare_names(path: Path, lines: dict[str, int]) -> None:
    """Check that a row that has only a name fits no other row."""
    by_stem: dict[str, list[str]] = {}
    for image in lines:
        by_stem.setdefault(_stem(image), []).append(image)
    for stem, images in by_stem.items():
        if stem in images and len(images) > 1:
            where = ", ".join(f"{image!r} (line {lines[image]})" for image in images)
            raise ValueError(
                f"{path}: {stem!r} is the name of several rows: {where}. Give them extensions or "
                "folders, so that they can be told apart."
            )


def _with_endings(centers: dict[str, Center]) -> dict[str, Center]:
    endings = {image: _endings(image) for image in centers}
    count = Counter(ending for own in endings.values() for ending in own)
    found = {
        ending: centers[image]
        for image, own in endings.items()
        for ending in own
        if count[ending] == 1
    }
    return found | centers


def _endings(image: str) -> set[str]:
    parts = [part for part in image.split("/") if part not in {"", ".", ".."}]
    return {"/".join(parts[start:]) for start in range(len(parts))} | {_stem(image)}


def _stem(image: str) -> str:
    return posixpath.splitext(posixpath.basename(image))[0]
