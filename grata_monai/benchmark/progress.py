# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How far a run is. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from grata_monai.benchmark.run_folder import RunFolder, read_json, read_text_rows


@dataclass(frozen=True)
class CellProgress:
    """How far a cell is.

    Args:
        cell: Its id.
        status: ``waiting``, ``started`` (running or stopped), ``complete`` or ``failed``.
        images: Images that have a row.
        total: Images of its stream; 0 if it has not begun.
        failed_images: Rows with an error.
        error: Why it failed, or "".
    """

    cell: str
    status: str
    images: int = 0
    total: int = 0
    failed_images: int = 0
    error: str = ""


def cell_progress(run: str | os.PathLike[str]) -> Iterator[CellProgress]:
    """Yield how far each cell of a run is, in the order of its plan.

    Args:
        run: Folder of the run.

    Raises:
        ValueError: If it is none, or a file in it is damaged.
    """
    folder = RunFolder(run)
    for cell in folder.require_plan()["cells"]:
        path = folder.cell(cell["id"])
        found = read_json(path / "cell.json")
        if found is None:
            yield CellProgress(cell["id"], "waiting")
            continue
        rows = read_text_rows(path / "rows.csv")
        total = found.get("total", len(rows))
        if "status" not in found or not isinstance(total, int):
            raise ValueError(f"{path / 'cell.json'} must have a 'status' and a 'total' of images.")
        lacks_rows = found["status"] == "complete" and found.get("images") != len(rows)
        yield CellProgress(
            cell["id"],
            "started" if lacks_rows else str(found["status"]),
            len(rows),
            total,
            sum(bool(row["error"]) for row in rows),
            str(found.get("error", "")),
        )
