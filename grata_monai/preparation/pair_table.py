# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Read a table of pairs: which mask belongs to which photograph, from any system's paths."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from grata_monai.data import read_csv_rows
from grata_monai.preparation.problems import FileError, Problem
from grata_monai.preparation.raw_dataset import Found, RawItem
from grata_monai.preparation.sources import RawFile

_MASK_COLUMNS = (("mask",), ("disc", "cup"))
_DRIVE = re.compile(r"^[A-Za-z]:")


def read_pair_table(
    table: str | os.PathLike[str], files: Sequence[RawFile], *, masks: bool = True
) -> Found:
    """Pair files as a CSV says.

    A path fits a file if one of the two is the end of the other. So absolute paths of another
    computer do, with slashes or backslashes, and the case of letters does not matter.

    Args:
        table: CSV with the columns image and mask, or image, disc and cup; if wanted also split,
            center_row and center_col.
        files: The files of the download.
        masks: Whether to take the masks.

    Raises:
        ValueError: If it is no such table.
        FileNotFoundError: If it does not exist.
    """
    path = Path(table)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file. Give the CSV with the pairs.")
    header, rows = read_csv_rows(path)
    if "image" not in header or not rows:
        raise ValueError(
            f"{path} must have a header with the column 'image' and a row per photograph. "
            f"Found: {', '.join(header) or 'nothing'}."
        )
    columns = next((names for names in _MASK_COLUMNS if set(names) <= set(header)), ())
    if masks and not columns:
        raise ValueError(
            f"{path} has no column 'mask', nor 'disc' and 'cup'. Add them, or prepare photographs "
            "alone with --no-masks."
        )
    index: dict[str, list[RawFile]] = {}
    for file in files:
        index.setdefault(file.path.rsplit("/", 1)[-1].lower(), []).append(file)
    items: list[RawItem] = []
    problems: list[Problem] = []
    for line, row in rows:
        try:
            items.append(_item(row, columns if masks else (), index))
        except FileError as error:
            problems.append(error.of(f"{path}, line {line}"))
    items.sort(key=lambda item: ("train", "test", "").index(item.split))
    return Found(items, problems)


def _item(
    row: Mapping[str, str], columns: Sequence[str], index: Mapping[str, list[RawFile]]
) -> RawItem:
    image = _look_up(row.get("image", ""), "image", index)
    masks = tuple(_look_up(row.get(column, ""), column, index) for column in columns)
    split = row.get("split", "").lower()
    if split not in {"", "train", "test"}:
        raise FileError("the split must be train, test or empty", "Correct the row.", repr(split))
    return RawItem(image.stem, split, image, masks, _center(row))


def _look_up(value: str, column: str, index: Mapping[str, list[RawFile]]) -> RawFile:
    wanted = _DRIVE.sub("", value.strip()).replace("\\", "/").strip("/").lower().split("/")
    candidates = index.get(wanted[-1], [])
    if not wanted[-1]:
        raise FileError(f"the column '{column}' is empty", "Fill it in, or remove the row.")
    if not candidates:
        raise FileError(
            f"the file in the column '{column}' is not among the raw files",
            "Correct the path, or give the folder that holds it as --raw.",
            value,
        )
    best = [file for file in candidates if _is_end(wanted, _inside(file).split("/"))]
    if not best:
        raise FileError(
            f"no raw file has the path in the column '{column}'",
            "Correct its folders: a file of that name lies elsewhere, and might be another eye's.",
            f"{value}; there is {candidates[0].location}",
        )
    if len(best) > 1:
        raise FileError(
            f"several files fit the path in the column '{column}'",
            "Give more of its folders.",
            ", ".join(file.location for file in best[:3]),
        )
    return best[0]


def _inside(file: RawFile) -> str:
    """Return a file's path in the folder or in its archive, in lower case."""
    return re.split(r"\.zip/", file.path.lower())[-1]


def _is_end(one: Sequence[str], other: Sequence[str]) -> bool:
    """Tell whether one of two paths is the end of the other."""
    count = min(len(one), len(other))
    return list(one[-count:]) == list(other[-count:])


def _center(row: Mapping[str, str]) -> tuple[float, float] | None:
    cells = [row.get(name, "") for name in ("center_row", "center_col")]
    if not any(cells):
        return None
    try:
        center = (float(cells[0]), float(cells[1]))
    except ValueError:
        center = (math.nan, math.nan)
    if not all(math.isfinite(value) for value in center):
        raise FileError(
            "the center needs a number in both center_row and center_col", "Correct the row."
        )
    return center
