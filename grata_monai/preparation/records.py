# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What is known of each prepared image, and how it is written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from grata_monai.imaging import Window

ROI_COLUMNS = (
    "image",
    "name",
    "split",
    "source",
    "source_masks",
    "native_height",
    "native_width",
    "top",
    "left",
    "roi_height",
    "roi_width",
    "height",
    "width",
    "center_row",
    "center_col",
    "center_from",
    "border",
    "turned",
    "disc_px",
    "cup_px",
    "notes",
)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One prepared image.

    Args:
        image: Path of the image below the root folder, with slashes.
        mask: Likewise; empty if there is none.
        name: Name of the eye.
        split: "train", "test" or "".
        source: Path of the photograph in the raw download.
        source_masks: Likewise for the mask files.
        native_height: Rows of the photograph (of the view that counts).
        native_width: Its columns.
        top: First row of the window in the photograph; negative where it reaches over the border.
        left: First column of the window.
        roi_height: Rows of the window, in pixels of the photograph.
        roi_width: Columns of the window.
        height: Rows of the stored image.
        width: Columns of the stored image.
        center_row: Row that the window was meant for, in the photograph.
        center_col: Its column.
        center_from: How the center was found.
        border: What was done at the border.
        turned: EXIF orientation that was followed; 1: the pixels are as stored. Sizes and places
            are those of the turned photograph.
        disc_px: Pixels of the stored disc, including the cup.
        cup_px: Pixels of the stored cup.
        notes: What was done on the way, with pixel counts.
        fingerprint: Stands for everything that the files depend on.
        files: SHA-256 by path.
    """

    image: str
    mask: str
    name: str
    split: str
    source: str
    source_masks: list[str]
    native_height: int
    native_width: int
    top: int
    left: int
    roi_height: int
    roi_width: int
    height: int
    width: int
    center_row: float
    center_col: float
    center_from: str
    border: str
    turned: int
    disc_px: int | None
    cup_px: int | None
    notes: dict[str, int] = field(default_factory=dict)
    fingerprint: str = ""
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """Return the record of a JSON object.

        Raises:
            TypeError: If it is none.
        """
        record = cls(**data)
        files = record.files if isinstance(record.files, dict) else {None: None}
        if not all(isinstance(one, str) for one in (record.fingerprint, *files, *files.values())):
            raise TypeError("The fingerprint and the files of a record must be text.")
        return record

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return dataclasses.asdict(self)

    def to_row(self) -> dict[str, Any]:
        """Return the row of ``roi.csv``."""
        row = {column: getattr(self, column) for column in ROI_COLUMNS}
        row["source_masks"] = ";".join(self.source_masks)
        row["notes"] = ";".join(f"{kind}={count}" for kind, count in self.notes.items())
        return row


@dataclass(frozen=True)
class Placement:
    """Where a prepared image lies in its photograph.

    Args:
        name: Name of the eye.
        source: Path of the photograph in the raw download.
        window: Where the region was cut.
        native_size: Height and width of the photograph.
        turned: EXIF orientation that was followed to get there.
    """

    name: str
    source: str
    window: Window
    native_size: tuple[int, int]
    turned: int = 1


def image_path(domain: str, split: str, name: str) -> str:
    """Return where an image lies in the authors' layout."""
    return "/".join(part for part in (domain, split, "image", f"{name}.png") if part)


def mask_path(domain: str, split: str, name: str) -> str:
    """Return where a mask lies in the authors' layout."""
    return "/".join(part for part in (domain, split, "mask", f"{name}.png") if part)


def roi_table(records: Iterable[Record]) -> str:
    """Return the text of ``roi.csv``."""
    table = pd.DataFrame([record.to_row() for record in records], columns=list(ROI_COLUMNS))
    for column in ("disc_px", "cup_px"):
        table[column] = table[column].astype("Int64")  # empty where there is no mask
    return table.to_csv(index=False, lineterminator="\n")


def read_placements(path: Path) -> dict[str, Placement]:
    """Read ``roi.csv``, by the images' names.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such table.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. Give the roi.csv that prepare wrote.")
    numbers = ("top", "left", "roi_height", "roi_width", "native_height", "native_width")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table[list(numbers)] = table[list(numbers)].astype(int)
        rows = table.to_dict("records")
        return {
            str(row["name"]): Placement(
                str(row["name"]),
                str(row["source"]),
                Window(row["top"], row["left"], row["roi_height"], row["roi_width"]),
                (row["native_height"], row["native_width"]),
                int(row.get("turned", 1)),
            )
            for row in rows
        }
    except (KeyError, OverflowError, ValueError) as error:
        raise ValueError(
            f"{path} is not a roi.csv of prepare: {error}. It needs the columns name, source, "
            f"{', '.join(numbers)}."
        ) from error
