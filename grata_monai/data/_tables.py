# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Read CSV tables that people and other programs write."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, TypeAlias

from grata_monai._files import require_regular_file

if TYPE_CHECKING:
    from pathlib import Path

Row: TypeAlias = tuple[int, dict[str, str]]
"""Line of the file, and the cells by column."""


def read_csv_rows(path: Path) -> tuple[list[str], list[Row]]:
    """Return the columns of a table, in lower case, and its rows that are not empty.

    Space around cells is dropped, a byte order mark does no harm.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no CSV file in UTF-8.
    """
    require_regular_file(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip().lower() for name in next(reader, [])]
            rows = [
                (reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=False)))
                for cells in reader
                if any(cell.strip() for cell in cells)
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8: {error}.") from error
    return header, rows
