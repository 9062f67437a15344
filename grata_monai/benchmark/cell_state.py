# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What a cell leaves on disk to go on from, and going on from it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from grata_monai.adapters import Adapter
from grata_monai.benchmark.run_folder import Row, read_text_rows, write_rows
from grata_monai.state import read_state, write_state

_ROWS = "rows.csv"
_STATE = "state.pt"
_logger = logging.getLogger(__name__)


def save_cell(folder: Path, rows: Sequence[Row], adapter: Adapter) -> None:
    """Write rows, then the state: rows beyond the state are dropped when going on.

    Args:
        folder: The cell's folder.
        rows: Of the images so far.
        adapter: The method, bound.

    Raises:
        OSError: If the folder cannot be written.
    """
    write_rows(folder / _ROWS, rows)
    write_state(folder / _STATE, {"images": len(rows), "adapter": adapter.state_dict()})


def resume_cell(folder: Path, adapter: Adapter, device: str) -> list[Row]:
    """Take up the state that was saved last, and return the rows that go with it.

    A state that is damaged, or does not go with the rows, costs time and nothing else: the cell
    starts anew, and a warning says so.

    Args:
        folder: The cell's folder.
        adapter: The method, bound and at its source state.
        device: Where it computes.

    Raises:
        OSError: If a file cannot be read.
    """
    for half in folder.glob(".*"):  # what a kill left of a file being written
        half.unlink()
    if not (folder / _STATE).exists():
        return []
    try:
        return _saved(folder, adapter, device)
    except ValueError as error:
        _logger.warning("%s starts anew: %s", folder.name, error)
        return []


def forget_state(folder: Path) -> None:
    """Remove the state of a cell that is complete.

    Args:
        folder: The cell's folder.
    """
    (folder / _STATE).unlink(missing_ok=True)


def _saved(folder: Path, adapter: Adapter, device: str) -> list[Row]:
    state = read_state(folder / _STATE, device=device)
    images = state.get("images") if isinstance(state, Mapping) else None
    if not isinstance(images, int) or not isinstance(state.get("adapter"), dict):
        raise ValueError(f"{folder / _STATE} is no state of a cell.")
    rows = read_text_rows(folder / _ROWS)
    if not 0 <= images <= len(rows):
        raise ValueError(f"{folder / _STATE} goes with {images} rows, but there are {len(rows)}.")
    adapter.load_state_dict(state["adapter"])
    return rows[:images]
