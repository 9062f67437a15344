# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tell an image that cannot be used from data, or a machine, that are not well for a while."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from grata_monai.data import FundusItem

_OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE)  # too many open files: no image's fault


class OutageWatch:
    """Knows which folders of a stream were there at its start.

    Args:
        items: The whole stream.
    """

    def __init__(self, items: Sequence[FundusItem]) -> None:
        self._files: dict[str, list[str]] = {}
        for item in items:
            for path in _files_of(item):
                self._files.setdefault(os.path.dirname(path), []).append(path)
        self._there = {folder for folder in self._files if self._any_left(folder)}

    def check(self, item: FundusItem, error: BaseException) -> None:
        """Check that it is an image's own fault that it could not be read.

        It is not if its folder had images at the start and all of them are gone now (a disk that
        was unmounted, a folder that was renamed), nor if this process has too many open files.

        Args:
            item: The image.
            error: What reading it raised.

        Raises:
            OSError: If the run had better end, and go on when the cause is mended.
        """
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno in _OF_THE_MACHINE:
                raise cause
            cause = cause.__cause__
        for path in _files_of(item):
            folder = os.path.dirname(path)
            if not os.path.exists(path) and folder in self._there and not self._any_left(folder):
                raise FileNotFoundError(
                    f"All images of {folder or '.'} are gone since the start of the run, {path} "
                    "among them. Bring them back, then go on with --resume."
                )

    def _any_left(self, folder: str) -> bool:
        return any(map(os.path.exists, self._files[folder]))


def _files_of(item: FundusItem) -> list[str]:
    return [item[key] for key in ("image", "label") if key in item]
