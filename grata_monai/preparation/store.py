# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A domain in the authors' layout on disk: what is finished, and how it is completed.

While images are being prepared, each finished one gets a line in a journal. The lists, the table
of regions and the manifest are written at the end, each all or not at all, and the journal goes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from grata_monai import __version__
from grata_monai._files import atomic_path, sha256_of, write_text
from grata_monai.data.json_files import parse_json
from grata_monai.preparation.archives import leads_outside
from grata_monai.preparation.problems import Problem
from grata_monai.preparation.records import Record, roi_table

MANIFEST, ROI_TABLE, PROBLEMS = "manifest.json", "roi.csv", "problems.csv"
_JOURNAL, _LOCK = ".prepare.jsonl", ".prepare.lock"


class DomainStore:
    """One domain below a root folder.

    Args:
        root: Folder in the authors' layout; need not exist.
        domain: Name of the domain.
    """

    def __init__(self, root: Path, domain: str) -> None:
        self.root = root
        self.domain = domain
        self.folder = root / domain

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of the domain; the lock does not outlive the process.

        Raises:
            ValueError: If another run works on it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / _LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise ValueError(
                f"Another run is preparing {self.folder}. Wait for it, or choose another --out."
            ) from error
        try:
            yield
        finally:
            lock.release()
            (self.folder / _LOCK).unlink(missing_ok=True)

    def settings(self) -> dict[str, Any] | None:
        """Return the settings that the domain was prepared with, or is being; None if by nobody.

        Raises:
            ValueError: If there are files of the domain that are not ours.
        """
        manifest = self._manifest()
        if manifest is not None:
            settings = manifest.get("settings")
            return dict(settings) if isinstance(settings, dict) else {}
        for line in self._journal():
            if isinstance(line.get("settings"), dict):
                return dict(line["settings"])
        strangers = [path.name for path in self._lists() if path.exists()]
        if self.folder.is_dir():
            strangers += [p.name for p in self.folder.iterdir() if p.name not in (_LOCK, _JOURNAL)]
        if strangers:
            raise ValueError(
                f"{self.root} has files of {self.domain} that were not made by this command "
                f"({', '.join(sorted(strangers)[:4])}). Choose another --out, or move them away."
            )
        return None

    def finished(self) -> dict[str, Record]:
        """Return the finished images by fingerprint; their files have been checked."""
        listed = (self._manifest() or {}).get("records")
        lines = list(listed) if isinstance(listed, list) else []
        lines += [line["record"] for line in self._journal() if "record" in line]
        found: dict[str, Record] = {}
        for line in lines:
            try:
                record = Record.from_json(line)
            except TypeError:
                continue  # of another version; the image is done again
            if record.files and all(self._is_intact(*entry) for entry in record.files.items()):
                found[record.fingerprint] = record
        return found

    def is_complete(self, records: Sequence[Record], manifest: Mapping[str, Any]) -> bool:
        """Tell whether exactly this is on disk already, so that nothing has to be written."""
        lists = self._list_texts(records)
        return (
            not (self.folder / _JOURNAL).exists()
            and all(_text(path) == lists.get(path) for path in self._lists())
            and _text(self.folder / ROI_TABLE) == roi_table(records)
            and self._manifest() == self._with_files(records, manifest)
        )

    def begin(self, settings: Mapping[str, Any], *, replace: bool) -> None:
        """Start or go on.

        Args:
            settings: What the images are prepared with.
            replace: Whether the domain had other settings: then its lists go now, for they would
                mix old images and new ones.
        """
        for path in self._lists() if replace else ():
            path.unlink(missing_ok=True)
        lines = self._journal()
        if replace or not any("settings" in line for line in lines):
            # what was finished stays known, so that it can be used or removed
            kept = [{"settings": dict(settings)}, *(line for line in lines if "record" in line)]
            write_text(self.folder / _JOURNAL, "\n".join(map(json.dumps, kept)))

    def add(self, record: Record) -> None:
        """Write down that an image is finished."""
        self._append({"record": record.to_json()})

    def complete(self, records: Sequence[Record], manifest: Mapping[str, Any]) -> None:
        """Write table, manifest and lists, and remove what earlier runs left and this one has not.

        Args:
            records: The images, in the order of the lists.
            manifest: What else the manifest says.
        """
        old = self.finished().values()
        lists = self._list_texts(records)
        for path in self._lists():
            if path not in lists:  # of other splits
                path.unlink(missing_ok=True)
        kept = {name for record in records for name in record.files}
        for name in {name for record in old for name in record.files} - kept:
            (self.root / name).unlink(missing_ok=True)
        for path in self.folder.rglob(".*.png"):  # a killed process was writing them
            path.unlink(missing_ok=True)
        for path, text in {self.folder / ROI_TABLE: roi_table(records), **lists}.items():
            write_text(path, text)
        _write_json(self.folder / MANIFEST, self._with_files(records, manifest))
        (self.folder / _JOURNAL).unlink(missing_ok=True)

    def write_problems(self, problems: Sequence[Problem]) -> Path | None:
        """Write all problems as a table, or remove an old one if there are none."""
        path = self.folder / PROBLEMS
        if not problems:
            path.unlink(missing_ok=True)
            return None
        with (
            atomic_path(path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("file", "problem", "detail", "cure"))
            writer.writerows((p.file, p.what, p.detail, p.cure) for p in problems)
        return path

    def _list(self, split: str) -> Path:
        return self.root / (f"{self.domain}_{split}.csv" if split else f"{self.domain}.csv")

    def _lists(self) -> list[Path]:
        return [self._list(split) for split in ("train", "test", "")]

    def _list_texts(self, records: Sequence[Record]) -> dict[Path, str]:
        """Return the lists by path."""
        texts = {}
        for split in dict.fromkeys(record.split for record in records):
            buffer = io.StringIO()
            writer = csv.writer(buffer, lineterminator="\n")
            writer.writerow(("image", "mask"))
            writer.writerows((r.image, r.mask) for r in records if r.split == split)
            texts[self._list(split)] = buffer.getvalue()
        return texts

    def _with_files(self, records: Sequence[Record], manifest: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "format": 1,
            "grata_monai": __version__,
            **manifest,
            "files": {name: sha for record in records for name, sha in record.files.items()},
            "records": [record.to_json() for record in records],
        }

    def _manifest(self) -> dict[str, Any] | None:
        path = self.folder / MANIFEST
        try:
            content = parse_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"{path} is broken ({error}). Remove it and prepare again.") from error
        return content if isinstance(content, dict) else None

    def _journal(self) -> list[dict[str, Any]]:
        """Return the journal's lines; one that a crash cut off is left out."""
        try:
            lines = (self.folder / _JOURNAL).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                found.append(parse_json(line))
            except ValueError:
                continue
        return [line for line in found if isinstance(line, dict)]

    def _append(self, line: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / _JOURNAL).open("a", encoding="utf-8") as file:
            # a line break first: the line before may have been cut off
            file.write("\n" + json.dumps(line))

    def _is_intact(self, name: str, checksum: str) -> bool:
        path = self.root / name
        return not leads_outside(name) and path.is_file() and sha256_of(path) == checksum


def _text(path: Path) -> str | None:
    """Return the content of a file, None if there is none that is text."""
    try:
        return path.read_bytes().decode("utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
