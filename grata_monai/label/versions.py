# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Versions of a source model on disk: added whole, never deleted, one of them current."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from grata_monai._checks import check_choice
from grata_monai._files import sha256_of, write_text
from grata_monai.label._version_files import (
    ModelVersion,
    check_whole,
    is_complete,
    read_version,
    version_name,
    version_number,
    write_version,
)

__all__ = ["ModelVersion", "ModelVersions"]

KINDS = ("imported", "fine_tuned")
_VERSIONS, _CURRENT, _LOCK, _UNFINISHED = "versions", "current", ".lock", ".unfinished"
_PATIENCE = 120.0  # seconds; another process holds the lock while it copies one model
_OURS = frozenset(("created", "sha256", "bytes"))
_logger = logging.getLogger(__name__)


class ModelVersions:
    """Keeps versions of a source model in ``FOLDER/versions/v0001`` and so on.

    ``FOLDER/current`` holds the name of the one to use. A version is written beside the others and
    renamed when it is complete, numbers are given out under a lock, and the name in ``current`` is
    replaced as a whole: processes can add, switch and read at the same time, and one that is killed
    leaves nothing that would be served.

    Args:
        folder: Where; made by the first :meth:`add`.

    Example:
        >>> import tempfile
        >>> from grata_monai.networks import source_network
        >>> from grata_monai.training import save_source_weights
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_source_weights(source_network(), f"{folder}/source.pt")
        ...     versions = ModelVersions(f"{folder}/model")
        ...     first = versions.add(f"{folder}/source.pt", kind="imported")
        ...     versions.current().name
        'v0001'
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def add(
        self,
        weights: str | os.PathLike[str],
        *,
        kind: str,
        parent: str | None = None,
        make_current: bool = True,
        note: str = "",
        **info: Any,
    ) -> ModelVersion:
        """Add a copy of a source model as the next version.

        Args:
            weights: Checkpoint of this package or of the authors; a whole source model.
            kind: ``"imported"`` or ``"fine_tuned"``.
            parent: Name of the version that it was made from.
            make_current: Whether to use it from now on.
            note: For people.
            info: What else to keep in ``version.json``; anything that JSON has.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no whole source model or an argument does not fit; nothing is
                written then.
            OSError: If the folder cannot be written.
        """
        check_choice("ModelVersions.add", "kind", kind, KINDS)
        if parent is not None:
            self._check_known(parent)
        check_whole(weights)
        if _OURS & info.keys():
            raise ValueError(f"ModelVersions.add sets {', '.join(sorted(_OURS))} itself.")
        facts = {"created": _now(), "kind": kind, "parent": parent, "note": note, **info}
        json.dumps(facts)  # a TypeError now, not when the model has been copied
        with self._locked():
            unfinished = self.folder / _VERSIONS / _UNFINISHED
            shutil.rmtree(unfinished, ignore_errors=True)  # a killed process's copy
            try:
                write_version(unfinished, weights, facts)
                name = version_name(max(self._numbers(), default=0) + 1)
                unfinished.rename(self._path(name))
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
            if make_current:
                self._point_to(name)
        return read_version(self._path(name))

    def current(self) -> ModelVersion:
        """Return the version to use. Cheap: reads two small files.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is damaged; the message names the file.
        """
        pointer = self.folder / _CURRENT
        try:
            name = pointer.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise FileNotFoundError(
                f"There is no model in {self.folder}. Give one: "
                "grata-monai label init DIR --weights FILE."
            ) from None
        except UnicodeDecodeError:
            name = "bytes that are no text"
        if not self._is_there(name):
            raise ValueError(
                f"{pointer} names no version: {name[:40]!r}. Write one of these into it: "
                f"{self._known()}."
            )
        return read_version(self._path(name))

    def all(self) -> list[ModelVersion]:
        """Return the versions, oldest first; damaged ones are left out, and the log says why."""
        found = []
        for name in self._names():
            try:
                found.append(read_version(self._path(name)))
            except ValueError as error:
                _logger.warning("Left out: %s", error)
        return found

    def make_current(self, name: str) -> ModelVersion:
        """Use another version from now on, an older or a newer one.

        Raises:
            ValueError: If there is no such version, or its weights are not those that were added;
                the current one stays.
        """
        self._check_known(name)
        version = read_version(self._path(name))
        if sha256_of(version.weights) != version.info["sha256"]:
            raise ValueError(
                f"{version.weights} is damaged: its checksum is not the one that was recorded. "
                f"Restore it, or use another version: {self._known()}."
            )
        with self._locked():
            self._point_to(name)
        return version

    def previous(self) -> ModelVersion | None:
        """Return the version that the current one was made from, if any: where to roll back to.

        Raises:
            FileNotFoundError: If there is no current version.
            ValueError: If one of the two is damaged.
        """
        parent = self.current().info["parent"]
        if parent is None:
            return None
        self._check_known(parent)
        return read_version(self._path(parent))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes and threads from adding and switching."""
        (self.folder / _VERSIONS).mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / _LOCK, timeout=_PATIENCE)
        try:
            lock.acquire()
        except Timeout as error:
            raise ValueError(
                f"Another process has been changing the models in {self.folder} for more than "
                f"{_PATIENCE:g} seconds. Try again when it has finished."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _point_to(self, name: str) -> None:
        write_text(self.folder / _CURRENT, f"{name}\n")

    def _path(self, name: str) -> Path:
        return self.folder / _VERSIONS / name

    def _numbers(self) -> list[int]:
        """Return the numbers that are taken, also by folders that are not complete."""
        parent = self.folder / _VERSIONS
        names = (path.name for path in parent.iterdir()) if parent.is_dir() else ()
        return sorted(number for name in names if (number := version_number(name)) is not None)

    def _names(self) -> list[str]:
        return [name for name in map(version_name, self._numbers()) if self._is_there(name)]

    def _is_there(self, name: str) -> bool:
        """Tell whether a name is one (and no path) and its folder complete."""
        return version_number(name) is not None and is_complete(self._path(name))

    def _known(self) -> str:
        return ", ".join(self._names()) or "there are none"

    def _check_known(self, name: str) -> None:
        if not self._is_there(name):
            raise ValueError(
                f"There is no version {name!r} in {self.folder}; known are: {self._known()}."
            )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
