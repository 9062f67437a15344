# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The files of a raw download, in folders or zip archives, in any nesting."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from grata_monai.data import natural_key
from grata_monai.preparation.archives import (
    DEFAULT_LIMITS,
    ArchiveLimits,
    check_copy,
    copy_member,
    inner_archives,
    is_zip,
    list_members,
    read_member,
    safe_name,
)

_JUNK_FOLDERS = frozenset({"__macosx"})
_JUNK_FILES = frozenset({"thumbs.db", "desktop.ini", ".ds_store"})


@dataclass(frozen=True)
class RawFile:
    """A file of a raw download.

    Args:
        path: Where it lies in the download, with slashes.
        container: The file itself, or the archive that it is in.
        member: Its name in the archive; None for a file by itself.
        size: Bytes.
        stamp: Changes when the content does: modification time or checksum.
        blocked: Why it must not or cannot be read, if so.
    """

    path: str
    container: Path
    member: str | None
    size: int
    stamp: str
    blocked: str = ""

    @property
    def stem(self) -> str:
        """Name without folder and extension."""
        return PurePosixPath(self.path).stem

    @property
    def suffix(self) -> str:
        """Extension in lower case, with its dot."""
        return PurePosixPath(self.path).suffix.lower()

    @property
    def folders(self) -> tuple[str, ...]:
        """Names of the folders it lies in, outermost first, in lower case.

        An archive's name counts only if the file lies in no folder inside it.
        """
        parts = [part.lower() for part in PurePosixPath(self.path).parts[:-1]]
        inner = parts[max((i + 1 for i, p in enumerate(parts) if p.endswith(".zip")), default=0) :]
        return tuple(inner or (part.removesuffix(".zip") for part in parts))

    @property
    def location(self) -> str:
        """How messages name the file."""
        return _readable(str(self.container)) if self.member is None else self.path

    def read(self) -> bytes:
        """Return the content.

        Raises:
            OSError: If it cannot be read, or is broken in its archive.
        """
        if self.blocked:
            raise OSError(self.blocked)
        if self.member is None:
            return self.container.read_bytes()
        return read_member(self.container, self.member)


class _Scratch:
    """A temporary folder, made when it is first needed, and how much was copied there."""

    def __init__(self, stack: ExitStack) -> None:
        self.copied = 0
        self._stack = stack
        self._folder: Path | None = None

    def folder(self) -> Path:
        if self._folder is None:
            made = tempfile.TemporaryDirectory(prefix="grata-raw-")
            self._folder = Path(self._stack.enter_context(made))
        return self._folder


@contextmanager
def open_raw(
    sources: Sequence[str | os.PathLike[str]], *, limits: ArchiveLimits = DEFAULT_LIMITS
) -> Iterator[list[RawFile]]:
    """List the files of a download; archives in archives are copied to a temporary folder.

    Litter of other systems (``__MACOSX``, ``Thumbs.db``, hidden files) is left out.

    Args:
        sources: Folders and zip archives.
        limits: What archives must keep to.

    Yields:
        The files in natural order. Files in folders come before those in archives.

    Raises:
        FileNotFoundError: If a source does not exist.
        ValueError: If a source is neither, or an archive cannot be trusted or read.
    """
    with ExitStack() as stack:
        scratch = _Scratch(stack)
        files: list[RawFile] = []
        for source in sources:
            path = Path(source).expanduser()
            if not path.exists():
                raise FileNotFoundError(f"{path} does not exist. Give a folder or a zip archive.")
            if path.is_dir():
                files.extend(_walk(path, scratch, limits))
            elif is_zip(path):
                files.extend(_members(path, path.name, scratch, limits, depth=1))
            else:
                raise ValueError(
                    f"{path} is neither a folder nor a complete zip archive. Other archives (rar, "
                    "7z, tar) have to be unpacked first; a broken download has to be repeated."
                )
        files.sort(key=lambda file: (file.member is not None, natural_key(file.path)))
        yield files


def _walk(root: Path, scratch: _Scratch, limits: ArchiveLimits) -> Iterator[RawFile]:
    """Yield the files of a folder; links are followed as long as they stay in it.

    Raises:
        ValueError: If a link to a folder leads out of it.
        OSError: If a folder in it cannot be read.
    """
    whole = os.path.realpath(root)
    seen: set[str] = set()
    for parent, folders, names in os.walk(root, followlinks=True, onerror=_fail):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        if not Path(real).is_relative_to(whole):
            raise ValueError(
                f"{parent} is a link out of the raw folder {root}. Give its target as another "
                "--raw."
            )
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _is_junk_folder(name))
        for name in names:
            path = Path(parent, name)
            if _is_junk(name):
                continue
            inside = path.relative_to(root).as_posix()
            blocked = _why_blocked(path, whole)
            if blocked:
                yield RawFile(_readable(inside), path, None, 0, blocked, blocked)
            elif path.suffix.lower() == ".zip":
                yield from _members(path, inside, scratch, limits, depth=1)
            elif path.is_file():
                status = path.stat()
                yield RawFile(
                    _readable(inside), path, None, status.st_size, str(status.st_mtime_ns)
                )


def _fail(error: OSError) -> None:
    raise error


def _why_blocked(path: Path, whole: str) -> str:
    """Return why a link is not followed; empty for all other files."""
    if not path.is_symlink():
        return ""
    if not Path(os.path.realpath(path)).is_relative_to(whole):
        return "it is a link out of the raw folder; copy the file there"
    return "" if path.exists() else "it is a link to nothing; fetch the file"


def _members(
    archive: Path, prefix: str, scratch: _Scratch, limits: ArchiveLimits, *, depth: int
) -> Iterator[RawFile]:
    """Yield the files of an archive as if it was a folder."""
    infos = list_members(archive, limits, name=str(archive) if depth == 1 else prefix)
    inner = {info.filename for info in inner_archives(infos)}
    for info in infos:
        name = safe_name(info)
        parts = PurePosixPath(name).parts
        if not parts:  # a member called "."
            continue
        if _is_junk(parts[-1]) or any(_is_junk_folder(part) for part in parts[:-1]):
            continue
        path = _readable(f"{prefix}/{name}")
        if info.filename not in inner:
            yield RawFile(path, archive, info.filename, info.file_size, f"{info.CRC:08x}")
        else:
            check_copy(path, info, depth, scratch.copied, limits)
            scratch.copied += info.file_size
            handle, copy = tempfile.mkstemp(suffix=".zip", dir=scratch.folder())
            os.close(handle)
            copy_member(archive, info.filename, Path(copy))
            yield from _members(Path(copy), path, scratch, limits, depth=depth + 1)


def _readable(path: str) -> str:
    """Return a path that can be written to any file, with one form for each accented letter."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return unicodedata.normalize("NFC", text)


def _is_junk(name: str) -> bool:
    lower = name.lower()
    return lower.startswith(".") or lower in _JUNK_FILES or lower.endswith("zone.identifier")


def _is_junk_folder(name: str) -> bool:
    return name.startswith(".") or name.lower() in _JUNK_FOLDERS
