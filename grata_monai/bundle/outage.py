# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tell an image that cannot be used from data, or a machine, that are not well for a while."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import PurePath
from typing import Literal

from grata_monai.bundle.guard import user_error
from grata_monai.data import FundusItem

_KEYS: tuple[Literal["image", "label"], ...] = ("image", "label")
_OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE)  # too many open files: no image's fault


class OutageWatch:
    """Knows which places of a stream's images there were at its start.

    An image's place is the folder that it shares with others, or the nearest one above that does:
    one patient's only image may vanish by itself.

    Args:
        items: The whole stream.
    """

    def __init__(self, items: Sequence[FundusItem]) -> None:
        self._places: dict[str, str] = {}
        self._files: dict[str, list[str]] = {}
        for key in _KEYS:
            self._add({item[key] for item in items if key in item})
        self._there = {place for place in self._files if self._any_left(place)}

    def check(self, item: FundusItem, error: BaseException) -> None:
        """Check that it is an image's own fault that it could not be read.

        It is not if its place had images at the start and all of them are gone now (a disk that
        was unmounted, a folder that was renamed), nor if this process has too many open files, or
        one that reads for it was killed.

        Args:
            item: The image.
            error: What reading it raised.

        Raises:
            OSError: If the run had better end, and go on when the cause is mended.
        """
        if isinstance(lost := user_error(error), ConnectionError):
            raise lost from error
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno in _OF_THE_MACHINE:
                raise cause
            cause = cause.__cause__
        for path in (item[key] for key in _KEYS if key in item):
            place = self._places[path]
            if not os.path.exists(path) and place in self._there and not self._any_left(place):
                raise FileNotFoundError(
                    f"All images of {place} are gone since the start of the run, {path} "
                    "among them. Bring them back, then go on with --resume."
                )

    def _add(self, paths: Collection[str]) -> None:
        """Take in images, or masks; they do not share a folder with one another."""
        counts = Counter(folder for path in paths for folder in _above(path))
        for path in paths:
            shared = (folder for folder in _above(path) if counts[folder] > 1)
            self._places[path] = next(shared, _above(path)[0])
        places = {self._places[path] for path in paths}
        for path in paths:
            for place in places.intersection(_above(path)):
                self._files.setdefault(place, []).append(path)

    def _any_left(self, place: str) -> bool:
        return any(map(os.path.exists, self._files[place]))


def _above(path: str) -> list[str]:
    """Return the folders that a file is in, the nearest first."""
    return [str(folder) for folder in PurePath(path).parents]
