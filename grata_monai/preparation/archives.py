# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""List and read zip archives without unpacking them, within limits.

No member is ever written under a name that the archive chose, so that a path in it cannot lead
anywhere; archives that try are refused all the same.
"""

from __future__ import annotations

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30


@dataclass(frozen=True)
class ArchiveLimits:
    """Limits against archives that are made to fill memory or disk.

    Args:
        members: Most files in an archive.
        member_bytes: Most bytes of a file that is no archive.
        total_bytes: Most bytes of all files of an archive.
        ratio: Most times that an archive may shrink its files, if these have more than 1 GiB.
        copied_bytes: Most bytes of archives in archives, which have to be copied.
        inner_ratio: Most times that an archive in an archive may shrink, if it has over 16 MiB.
        depth: Archives within archives within archives ...
    """

    members: int = 200_000
    member_bytes: int = GIB
    total_bytes: int = 256 * GIB
    ratio: float = 200.0
    copied_bytes: int = 64 * GIB
    inner_ratio: float = 20.0
    depth: int = 3


DEFAULT_LIMITS = ArchiveLimits()
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    NotImplementedError,  # a compression that Python has not
    RuntimeError,  # encrypted
)
_UNSAFE = re.compile(r"(^/)|(^[A-Za-z]:)|((^|/)\.\.(/|$))|\x00")


def is_zip(path: Path) -> bool:
    """Tell whether a file is a zip archive by its content."""
    return path.is_file() and zipfile.is_zipfile(path)


def list_members(
    path: Path, limits: ArchiveLimits = DEFAULT_LIMITS, *, name: str = ""
) -> list[zipfile.ZipInfo]:
    """Return the files in an archive; folders and symbolic links are left out.

    Args:
        path: The archive.
        limits: What it must keep to.
        name: What messages call it; its path by default.

    Raises:
        ValueError: If it cannot be read, is encrypted, has unsafe paths or exceeds the limits.
    """
    name = name or str(path)
    with _opened(path, name) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
    _check_totals(name, infos, limits)
    for info in infos:
        if leads_outside(info.filename):
            raise ValueError(
                f"{name} holds a file with an unsafe path, {info.filename!r}. Nothing of it was "
                "read; get the archive from its owners again."
            )
        if info.flag_bits & 1:
            raise ValueError(
                f"{name} is encrypted. Unpack it with its password and give the folder."
            )
    return [info for info in infos if not _is_link(info)]


def safe_name(info: zipfile.ZipInfo) -> str:
    """Return a member's path with slashes, whichever system packed it."""
    return info.filename.replace("\\", "/")


def leads_outside(name: str) -> bool:
    """Tell whether a path that stands in a file is none of the folder that the file belongs to.

    Example:
        >>> [leads_outside(name) for name in ("a/b.png", "a/../../b.png", "/b.png", "C:b.png")]
        [False, True, True, True]
    """
    return _UNSAFE.search(name.replace("\\", "/")) is not None


def read_member(path: Path, member: str) -> bytes:
    """Return a file of an archive; its checksum has been verified.

    Raises:
        OSError: If it cannot be read or its checksum is wrong.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(member)
    except _BROKEN as error:
        raise OSError(f"it is broken in the archive {path.name}: {error}") from error


def copy_member(path: Path, member: str, target: Path) -> None:
    """Copy a file of an archive to a path that the caller chose.

    Raises:
        ValueError: If it cannot be read, or the target not be written.
    """
    with _opened(path, str(path)) as archive:
        try:
            with archive.open(member) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
        except _BROKEN as error:
            raise ValueError(f"{path}: {member} is broken ({error}). Download it again.") from error
        except OSError as error:
            raise ValueError(
                f"Cannot copy {member} of {path} to the temporary folder {target.parent} "
                f"({error}). Make room there, name another folder in TMPDIR, or unpack the archive "
                "yourself."
            ) from error


def check_copy(
    name: str, info: zipfile.ZipInfo, depth: int, copied: int, limits: ArchiveLimits
) -> None:
    """Check that an archive in an archive may be copied.

    Args:
        name: What messages call it.
        info: The member.
        depth: How many archives it lies in.
        copied: Bytes copied so far.
        limits: What must be kept to.

    Raises:
        ValueError: If it may not.
    """
    if depth >= limits.depth:
        raise ValueError(
            f"{name} is an archive in more than {limits.depth - 1} others. Unpack the outer ones "
            "and give the folder."
        )
    shrinks = info.file_size > limits.inner_ratio * max(info.compress_size, 1)
    if copied + info.file_size > limits.copied_bytes or (info.file_size > 1 << 24 and shrinks):
        raise ValueError(
            f"{name} would unpack to {info.file_size} bytes from {info.compress_size}: that is not "
            "how image archives look. If you trust it, unpack it yourself and give the folder."
        )


@contextmanager
def _opened(path: Path, name: str) -> Iterator[zipfile.ZipFile]:
    """Open an archive; what is wrong with it becomes a ValueError that names it."""
    try:
        archive = zipfile.ZipFile(path)
    except _BROKEN as error:
        raise ValueError(
            f"{name} is not a complete zip archive ({error}). Download it again."
        ) from error
    with archive:
        yield archive


def _check_totals(name: str, infos: list[zipfile.ZipInfo], limits: ArchiveLimits) -> None:
    total = sum(info.file_size for info in infos)
    packed = sum(info.compress_size for info in infos)
    too_big = [info for info in infos if info.file_size > limits.member_bytes]
    too_big = [info for info in too_big if not info.filename.lower().endswith(".zip")]
    reason = None
    if len(infos) > limits.members:
        reason = f"{len(infos)} files (at most {limits.members})"
    elif too_big:
        reason = f"{too_big[0].filename!r} with {too_big[0].file_size} bytes"
    elif total > limits.total_bytes:
        reason = f"{total / GIB:.0f} GiB of files"
    elif total > GIB and total > limits.ratio * max(packed, 1):
        reason = f"{total / GIB:.1f} GiB of files in {packed / GIB:.3f} GiB"
    if reason:
        raise ValueError(
            f"{name} holds {reason}: that is not how image archives look. If you trust it, unpack "
            "it yourself and give the folder."
        )


def _is_link(info: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)


def inner_archives(infos: list[zipfile.ZipInfo]) -> Iterator[zipfile.ZipInfo]:
    """Yield the members that are archives themselves, by their names."""
    return (info for info in infos if safe_name(info).lower().endswith(".zip"))
