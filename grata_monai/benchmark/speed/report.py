# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""All rows of a measurement with what they were measured on, as text and as files."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grata_monai._files import atomic_path
from grata_monai.benchmark.speed.hardware import Hardware
from grata_monai.benchmark.speed.requirements import Requirement
from grata_monai.benchmark.speed.rows import Row
from grata_monai.benchmark.speed.table import stage_table, time_table

SUFFIXES = (".json", ".csv")


@dataclass
class Report:
    """All rows of a measurement.

    Args:
        hardware: What it ran on.
        rows: What was measured.
    """

    hardware: Hardware
    rows: list[Row] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [str(self.hardware), time_table(self.rows)]
        stages = stage_table(self.rows)
        if stages:
            parts.append("Share of each stage, from a step of its own with reading:\n" + stages)
        return "\n\n".join(part for part in parts if part)

    def failures(self, requirements: Sequence[Requirement] = ()) -> list[str]:
        """Return a sentence for each path that failed and each ratio that was not reached."""
        failed = [
            f"{row.method} at {row.size} px on {row.path} {row.note}"
            for row in self.rows
            if row.failed
        ]
        return failed + [line for item in requirements for line in item.failures(self.rows)]

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write all numbers to a file, JSON or CSV by its extension.

        Args:
            path: The file; replaced as a whole if it exists.

        Raises:
            OSError: If it cannot be written.
            ValueError: If it has another extension.
        """
        check_file(path)
        with atomic_path(path) as temporary:
            if Path(path).suffix.lower() == ".json":
                content = {
                    "hardware": self.hardware.as_dict(),
                    "rows": [row.as_dict() for row in self.rows],
                }
                temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            else:
                _write_csv(temporary, [_flat(row) for row in self.rows])


def check_file(path: str | os.PathLike[str]) -> None:
    """Check that a file has a name that numbers can be written to.

    Raises:
        ValueError: If it has another extension.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(f"The file must end in {' or '.join(SUFFIXES)}. Got {os.fspath(path)!r}.")


def _flat(row: Row) -> dict[str, Any]:
    """Return a row's numbers with a column for each stage."""
    numbers = row.as_dict()
    seconds, stages = numbers.pop("seconds"), numbers.pop("stages")
    columns = {f"stage_{name.replace(' ', '_')}": value for name, value in stages.items()}
    return {**numbers, "seconds": " ".join(f"{value:.6g}" for value in seconds), **columns}


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
