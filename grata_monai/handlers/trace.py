# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""One row per image of what the adaptation did: CSV and TensorBoard."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from monai.utils import optional_import

from grata_monai._files import write_csv
from grata_monai.handlers.gathering import gathered

SummaryWriter, _has_tensorboard = optional_import("torch.utils.tensorboard", name="SummaryWriter")

FLUSH_EVERY = 25
Row = dict[str, float | int | str]


class TraceWriter:
    """Collects rows and writes them, whole and atomically, every few images and at the end.

    How long an image took goes to a file of its own, so that the trace of the same run is the same
    file, whatever the machine was busy with.

    Args:
        path: CSV file to write, or None. Columns are ``index``, ``image``, the numbers and
            ``event``, what was out of the ordinary.
        timing_path: CSV file with ``index``, ``image`` and ``seconds``, or None.
        log_dir: Folder for TensorBoard events, or None.

    Raises:
        OSError: If a file cannot be written.
        RuntimeError: If ``log_dir`` is given and TensorBoard is not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        *,
        timing_path: str | os.PathLike[str] | None = None,
        log_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        if log_dir is not None and not _has_tensorboard:
            raise RuntimeError(
                "Writing to TensorBoard needs the extra: pip install 'grata-monai[tensorboard]'."
            )
        self.path = path
        self.timing_path = timing_path
        self.rows: list[Row] = []
        self.timing: list[Row] = []
        self._summary = SummaryWriter(os.fspath(log_dir)) if log_dir is not None else None
        self.flush()  # a path that cannot be written is better known now than after the run

    def add(
        self, image: str, numbers: Mapping[str, float], *, index: int | None = None, event: str = ""
    ) -> None:
        """Take in the numbers of an image.

        Args:
            image: Its name.
            numbers: By name; ``seconds`` goes to the file of times.
            index: Its place in the stream; default: behind the last one's.
            event: What was out of the ordinary.
        """
        place = len(self.rows) if index is None else index
        values = {name: float(value) for name, value in numbers.items() if name != "seconds"}
        self.rows.append({"index": place, "image": image, **values, "event": event})
        if "seconds" in numbers:
            seconds = float(numbers["seconds"])
            self.timing.append({"index": place, "image": image, "seconds": seconds})
        if self._summary is not None:
            for name, value in numbers.items():
                self._summary.add_scalar(f"adaptation/{name}", value, place)
        if len(self.rows) % FLUSH_EVERY == 0:
            self.flush()

    def flush(self) -> None:
        """Write all rows so far."""
        _write(self.rows, self.path, ["index", "image", "event"])
        _write(self.timing, self.timing_path, ["index", "image", "seconds"])

    def close(self, *, gather: bool = False) -> None:
        """Write all rows and close TensorBoard's file.

        Args:
            gather: Whether the rows of all processes of a distributed run belong in the files; all
                of them then have to call this.
        """
        if gather:
            self.rows, self.timing = gathered(self.rows), gathered(self.timing)
        self.flush()
        if self._summary is not None:
            self._summary.close()

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far."""
        return {"rows": list(self.rows), "timing": list(self.timing)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on behind the rows of an earlier run."""
        self.rows, self.timing = list(state["rows"]), list(state["timing"])
        self.flush()


def _write(rows: list[Row], path: str | os.PathLike[str] | None, columns: list[str]) -> None:
    if path is not None:
        found = dict.fromkeys(name for row in rows for name in row) if rows else columns
        write_csv(path, [list(found), *([row.get(name, "") for name in found] for row in rows)])
