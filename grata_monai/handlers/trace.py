# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""One row per image of what the adaptation did: CSV and TensorBoard."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pandas as pd
from monai.utils import optional_import

from grata_monai._files import atomic_path

SummaryWriter, _has_tensorboard = optional_import("torch.utils.tensorboard", name="SummaryWriter")

FLUSH_EVERY = 25


class TraceWriter:
    """Collects rows and writes them, whole and atomically, every few images and at the end.

    Args:
        path: CSV file to write, or None. Columns are ``index``, ``image`` and the numbers.
        log_dir: Folder for TensorBoard events, or None.

    Raises:
        OSError: If the file cannot be written.
        RuntimeError: If ``log_dir`` is given and TensorBoard is not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        *,
        log_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        if log_dir is not None and not _has_tensorboard:
            raise RuntimeError(
                "Writing to TensorBoard needs the extra: pip install 'grata-monai[tensorboard]'."
            )
        self.path = path
        self.rows: list[dict[str, float | int | str]] = []
        self._summary = SummaryWriter(os.fspath(log_dir)) if log_dir is not None else None
        self.flush()  # a path that cannot be written is better known now than after the run

    def add(self, image: str, numbers: Mapping[str, float]) -> None:
        """Take in the numbers of an image."""
        index = len(self.rows)
        self.rows.append({"index": index, "image": image, **numbers})
        if self._summary is not None:
            for name, value in numbers.items():
                self._summary.add_scalar(f"adaptation/{name}", value, index)
        if len(self.rows) % FLUSH_EVERY == 0:
            self.flush()

    def flush(self) -> None:
        """Write all rows so far."""
        if self.path is not None:
            with atomic_path(self.path) as temporary:
                table = pd.DataFrame(self.rows, columns=None if self.rows else ["index", "image"])
                table.to_csv(temporary, index=False)

    def close(self) -> None:
        """Write all rows and close TensorBoard's file."""
        self.flush()
        if self._summary is not None:
            self._summary.close()
