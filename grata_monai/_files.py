# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Files: written so that a reader sees the old content or the new one, and their checksums."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


_PARTIAL = ".partial-"


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; on success it takes the place of ``path``.

    The temporary name keeps the extensions, because many writers choose the format by them.
    Missing parent folders are made. On an exception the temporary file is removed and ``path``
    stays as it was.

    Args:
        path: The file to write.

    Raises:
        OSError: If the folder cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(target.suffixes[-2:])
    handle, name = tempfile.mkstemp(
        prefix=f"{_PARTIAL}{target.stem[:40]}.", suffix=suffix, dir=target.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def remove_partial_files(folder: str | os.PathLike[str]) -> None:
    """Remove what ``atomic_path`` left in a folder in processes that were killed.

    Args:
        folder: Where no other process is writing; the folders in it are left alone.
    """
    for path in Path(folder).glob(f"{_PARTIAL}*"):
        path.unlink(missing_ok=True)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, read in pieces.

    Raises:
        OSError: If it cannot be read.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _umask() -> int:
    """Return the process's umask (temporary files are private, results need not be)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
