# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Where the files of a run lie, and how its rows are written and read. No torch."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from grata_monai._files import write_csv, write_text
from grata_monai._messages import one_line
from grata_monai.data.json_files import parse_json

Row = dict[str, Any]

COLUMNS = (
    "cell",
    "source",
    "stream",
    "target",
    "method",
    "adapter",
    "seed",
    "protocol",
    "round",
    "position",
    "image",
    "picture",
    "truth",
    "prediction",
    "dice_disc",
    "dice_cup",
    "assd_disc",
    "assd_cup",
    "asd_disc",
    "asd_cup",
    "vcdr",
    "vcdr_true",
    "vcdr_error",
    "seconds",
    "memory_mb",
    "error",
)
"""Columns of every rows.csv; ``trace_*`` and ``diag_*`` follow in alphabetical order."""
TEXT_COLUMNS = (
    "cell",
    "source",
    "stream",
    "target",
    "method",
    "adapter",
    "protocol",
    "image",
    "picture",
    "truth",
    "prediction",
    "error",
)
INTEGER_COLUMNS = ("seed", "round", "position")
_NEEDED = {"cell", "source", "stream", "target", "method", "protocol", "image", "error"}
_NEEDED |= {"dice_disc", "dice_cup", *INTEGER_COLUMNS}
_ELSEWHERE = re.compile(r"^\.?$|^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\x00")


class RunFolder:
    """The folder of a run.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def plan_file(self) -> Path:
        """The grid as data."""
        return self.path / "plan.json"

    @property
    def rows_file(self) -> Path:
        """All rows, in the order of the plan."""
        return self.path / "rows.csv"

    @property
    def failures_file(self) -> Path:
        """What went wrong: cell, image, error."""
        return self.path / "failures.csv"

    def cell(self, cell_id: str) -> Path:
        """Return the folder of a cell.

        Raises:
            ValueError: If the id, which somebody else's plan may have, leads elsewhere.
        """
        if _ELSEWHERE.search(cell_id):
            raise ValueError(f"{self.plan_file} has a cell that is no folder of it: {cell_id!r}.")
        return self.path / "cells" / cell_id

    def read_plan(self) -> dict[str, Any] | None:
        """Return the plan, or None if there is none.

        Raises:
            ValueError: If it cannot be read.
        """
        return read_json(self.plan_file)

    def require_plan(self) -> dict[str, Any]:
        """Return the plan.

        Raises:
            ValueError: If there is none, or it has no list of cells.
        """
        plan = self.read_plan()
        if plan is None:
            raise ValueError(
                f"{self.path} is no run of the benchmark: it has no plan.json. Start one with "
                "'grata-monai benchmark run'."
            )
        cells = plan.get("cells")
        if not isinstance(cells, list) or not all(
            isinstance(cell, dict) and isinstance(cell.get("id"), str) for cell in cells
        ):
            raise ValueError(f"{self.plan_file} must have a list of 'cells', each with its 'id'.")
        return plan


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the content of a JSON file, or None if there is no such file.

    Raises:
        ValueError: If it is no JSON object.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold one JSON object.")
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, all or not at all."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def ordered_columns(names: Iterable[str]) -> list[str]:
    """Return the columns of a table of rows: the common ones, then the others by name."""
    extra = sorted(set(names) - set(COLUMNS), key=lambda name: (name.startswith("diag_"), name))
    return [*COLUMNS, *extra]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV, all or not at all; numbers in full precision, NaN as an empty field."""
    columns = ordered_columns(name for row in rows for name in row)
    write_csv(path, [columns, *([row.get(name, "") for name in columns] for row in rows)])


def read_text_rows(path: Path) -> list[Row]:
    """Return rows as they stand in a CSV file, every field as text; none if there is no file.

    Raises:
        ValueError: If it is no table of rows.
    """
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, restval=""))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV table in UTF-8: {error}.") from error
    if rows and (missing := _NEEDED - rows[0].keys()):
        raise ValueError(f"{path} lacks the columns {', '.join(sorted(missing))} of a run's rows.")
    if any(None in row for row in rows):
        raise ValueError(f"{path} has a row with more fields than columns.")
    return rows


def error_line(error: BaseException) -> str:
    """Return what an exception says, in one line; MONAI's wrappers are opened.

    Args:
        error: The exception.
    """
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    text = one_line(str(error))
    kind = type(error).__name__
    return text if isinstance(error, ValueError) and text else f"{kind}: {text}".rstrip(": ")
