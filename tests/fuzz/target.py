# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A reader under test: what it is fed, how it is called, how it may refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

OURS = (ValueError, OSError)


@dataclass(frozen=True)
class Target:
    """A reader under test.

    Args:
        inputs: What it is fed.
        read: Called with a folder of its own and an input; written files stay in the folder.
        refusals: Errors that are the reader's own.
        names: What the message of a refusal must hold, as the reader promises.
        prepare: Puts files into the folder, once.
    """

    inputs: st.SearchStrategy[Any]
    read: Callable[[Path, Any], object]
    refusals: tuple[type[Exception], ...] = OURS
    names: str = ""
    prepare: Callable[[Path], None] = lambda _: None

    def accepts(self, folder: Path, value: Any) -> bool:
        """Feed the reader; tell whether it accepted.

        Raises:
            Exception: If it crashed.
        """
        try:
            self.read(folder, value)
        except self.refusals as error:
            if self.names and self.names not in str(error):
                raise AssertionError(f"The refusal does not name {self.names}: {error}") from error
            return False
        return True


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
