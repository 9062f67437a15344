# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Read CSV lists of images and masks, and find the domains that a folder has lists of."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, TypedDict

from grata_monai.data._tables import read_csv_rows

if TYPE_CHECKING:
    from pathlib import Path

_IMAGE, _MASK, _ROW, _COLUMN = "image", "mask", "center_row", "center_col"
_COLUMNS = frozenset((_IMAGE, _MASK, _ROW, _COLUMN))
_SPLITS = ("train", "test")


class _ImageOnly(TypedDict):
    image: str


class FundusItem(_ImageOnly, total=False):
    """One item of a datalist, as MONAI's dictionary transforms take it.

    Args:
        image: Absolute path of the image.
        label: Absolute path of the mask, if there is one.
        disc_center: ``(row, column)`` of the optic disc in pixels of the image file, if known.
        domain: Name of the data set, where a list has several.
    """

    label: str
    disc_center: tuple[float, float]
    domain: str


def read_csv_items(path: Path) -> list[FundusItem]:
    """Read one CSV list; relative paths in it start from its own folder.

    Raises:
        ValueError: If it is not such a list; the message names the file, the row and the cure.
        FileNotFoundError: If a file of a row is missing.
    """
    columns, rows = read_csv_rows(path)
    if _IMAGE not in columns:
        raise ValueError(
            f"{path} has no column 'image'; its first line must be a header such as 'image,mask'. "
            f"Found: {', '.join(repr(name) for name in columns) or 'nothing'}."
        )
    items = [_item(path, line, row) for line, row in rows]
    if not items:
        raise ValueError(f"{path} lists no images: it has a header but no rows.")
    return items


def listed_domains(root: Path) -> dict[str, dict[str, Path]]:
    """Return the CSV lists in a folder, by domain and split (``""``: one list without splits).

    A CSV file counts as a list if it is named ``<domain>_train.csv`` or ``<domain>_test.csv`` and
    has a column ``image``, or if it has no other columns than those of a list: results that lie in
    the same folder are no lists.
    """
    domains: dict[str, dict[str, Path]] = {}
    for path in sorted(root.glob("*.csv")):
        if path.name.startswith(".") or not path.is_file():
            continue
        try:
            columns = read_csv_rows(path)[0]
        except ValueError:
            columns = []
        name, _, split = path.stem.rpartition("_")
        is_split = bool(name) and split in _SPLITS
        if is_split and (_IMAGE in columns or not columns):
            domains.setdefault(name, {})[split] = path
        elif _IMAGE in columns and set(columns) <= _COLUMNS:
            domains.setdefault(path.stem, {})[""] = path
    return dict(sorted(domains.items()))


def _item(path: Path, line: int, row: dict[str, str]) -> FundusItem:
    if not row.get(_IMAGE):
        raise ValueError(f"{path}, line {line}: the column 'image' is empty.")
    item: FundusItem = {"image": _existing(path, line, _IMAGE, row[_IMAGE])}
    if row.get(_MASK):
        item["label"] = _existing(path, line, _MASK, row[_MASK])
    if row.get(_ROW) or row.get(_COLUMN):
        item["disc_center"] = (_number(path, line, _ROW, row), _number(path, line, _COLUMN, row))
    return item


def _existing(path: Path, line: int, column: str, value: str) -> str:
    found = os.path.abspath(path.parent / value.replace("\\", "/"))
    if not os.path.isfile(found):
        raise FileNotFoundError(
            f"{path}, line {line}: the {column} {value!r} does not exist (looked for {found}). "
            "Relative paths start from the folder of the CSV file: move the file there or correct "
            "the row."
        )
    return found


def _number(path: Path, line: int, column: str, row: dict[str, str]) -> float:
    try:
        value = float(row.get(column, ""))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(
            f"{path}, line {line}: the disc center needs a number in both 'center_row' and "
            f"'center_col' (or in neither). Got {row.get(column, '')!r} in {column!r}."
        )
    return value
