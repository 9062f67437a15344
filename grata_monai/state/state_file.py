# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""States on disk: written all or not at all, read without running any code they may hold."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from grata_monai._files import atomic_path


def write_state(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write nested plain containers of tensors, numbers and words to a file.

    Args:
        path: The file; it is replaced once the new one is complete.
        state: What to write.

    Raises:
        OSError: If the file cannot be written, e.g. because the disk is full.
    """
    with atomic_path(path) as temporary:
        try:
            with temporary.open("wb") as file:
                torch.save(dict(state), file)
        except (OSError, RuntimeError) as error:  # torch may say either of a disk that is full
            raise OSError(f"{path} cannot be written: {error}") from error


def read_state(path: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> Any:
    """Return what ``write_state`` has written.

    Args:
        path: The file.
        device: Where tensors go that were not on the CPU; counters and generators stay there.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is damaged, or holds more than tensors and plain containers.
    """

    def put_back(storage: Any, location: str) -> Any:
        if location == "cpu":
            return storage
        restore = torch.serialization.default_restore_location
        return restore(storage, str(device))  # type: ignore[no-untyped-call]

    with Path(path).open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:  # torch does not look at the checksums
                if (damaged := archive.testzip()) is not None:
                    raise ValueError(f"the checksum of {damaged} is another")
            file.seek(0)
            return torch.load(file, map_location=put_back, weights_only=True)
        except Exception as error:  # unzipping and unpickling may fail in any way on wrong bytes
            raise ValueError(f"{path} is no saved state, or is damaged; start anew.") from error
