# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Files: written so that a reader sees the old content or the new one, and their checksums."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


_PARTIAL = ".partial-"


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; on success it takes the place of ``path``.

    The temporary name keeps the extensions, because many writers choose the format by them.
    Missing parent folders are made. The content is on the disk before it has the name, so that a
    power cut leaves no empty file. On an exception the temporary file is removed and ``path`` stays
    as it was.

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
        _flush(temporary, target)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text as UTF-8, all or not at all; names of files that are not UTF-8 get escapes.

    Args:
        path: The file to write.
        text: Its content, with the line endings that it is to have.

    Raises:
        OSError: If the folder cannot be written.
    """
    with atomic_path(path) as temporary:
        # what os.fsdecode makes of other bytes; in JSON the escape reads back as the same
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def write_csv(path: str | os.PathLike[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV, as ``write_text`` does.

    A data frame of pandas would not take the names that ``write_text`` gives escapes.

    Args:
        path: The file to write.
        rows: The names of the columns, then the others; floats in full precision, NaN as an empty
            field.

    Raises:
        OSError: If the folder cannot be written.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows(["" if value != value else value for value in row] for row in rows)
    write_text(path, file.getvalue())


def remove_partial_files(folder: str | os.PathLike[str]) -> None:
    """Remove what ``atomic_path`` left in a folder in processes that were killed.

    Args:
        folder: Where no other process is writing; the folders in it are left alone.
    """
    for path in Path(folder).glob(f"{_PARTIAL}*"):
        path.unlink(missing_ok=True)


def require_regular_file(path: str | os.PathLike[str]) -> None:
    """Check that what a path leads to can be read to its end; there need not be anything.

    Raises:
        OSError: If it is a pipe or a device, which a reader would wait for.
    """
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise OSError(f"{os.fspath(path)} is no regular file but a pipe, a socket or a device")


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, read in pieces.

    Raises:
        OSError: If it cannot be read.
    """
    require_regular_file(path)
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _flush(path: Path, name: Path) -> None:
    with path.open("rb") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:  # it knows no name, and users none of the temporary file
            raise OSError(error.errno, error.strerror, str(name)) from error


def _umask() -> int:
    """Return the process's umask (temporary files are private, results need not be)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
