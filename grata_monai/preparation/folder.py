# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Read the lists of a prepared folder, whatever is wrong with them, in the stream's order."""

from __future__ import annotations

import csv
import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grata_monai.data import DOMAINS, listed_domains
from grata_monai.preparation.findings import Finding
from grata_monai.preparation.problems import Problem

SPLITS = ("train", "test", "")
_HEADER = ["image", "mask"]


@dataclass(frozen=True, kw_only=True)
class ListedImage:
    """One row of a list.

    Args:
        root: Folder of the lists.
        domain: Name of the domain.
        split: "train", "test", or "" in a list without splits.
        line: Line in the list.
        image: The cell, as it is written.
        mask: Likewise; empty if there is none.
    """

    root: Path
    domain: str
    split: str
    line: int
    image: str
    mask: str

    @property
    def image_path(self) -> Path:
        """Where the image is."""
        return self.root / self.image.replace("\\", "/")

    @property
    def mask_path(self) -> Path | None:
        """Where the mask is, if the row names one."""
        return self.root / self.mask.replace("\\", "/") if self.mask else None

    @property
    def list_name(self) -> str:
        """Name of the list."""
        return list_name(self.domain, self.split)

    @property
    def row(self) -> str:
        """What messages call the row."""
        return f"{self.list_name}, line {self.line}"


@dataclass(frozen=True)
class PreparedFolder:
    """The lists of a folder in the authors' layout.

    Args:
        root: The folder.
        images: The rows by domain, training rows first, as an online stream reads them.
        lists: The splits that a domain has lists of.
        findings: What is wrong with lists as such.
    """

    root: Path
    images: dict[str, list[ListedImage]]
    lists: dict[str, tuple[str, ...]]
    findings: list[Finding] = field(default_factory=list)

    def only(self, domains: Sequence[str] | None) -> PreparedFolder:
        """Return the folder with these domains only, all for None or nothing.

        Raises:
            ValueError: If one is not there; a close match is suggested.
        """
        chosen = list(dict.fromkeys(domains or self.images))
        for name in chosen:
            if name not in self.images:
                raise ValueError(_unknown(self.root, name, self.images))
        return PreparedFolder(
            self.root,
            {name: self.images[name] for name in chosen},
            {name: self.lists[name] for name in chosen},
            [finding for finding in self.findings if finding.domain in chosen],
        )


def list_name(domain: str, split: str) -> str:
    """Return the file name of a list."""
    return f"{domain}_{split}.csv" if split else f"{domain}.csv"


def read_folder(root: str | os.PathLike[str]) -> PreparedFolder:
    """Read all lists of a folder; wrong rows and headers are kept, not refused.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it has no lists.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder. Give one with lists such as D.csv.")
    lists = _find_lists(folder)
    if not lists:
        raise ValueError(
            f"{folder} has no lists such as REFUGE_train.csv with the header image,mask. Give the "
            "folder that holds them; `grata-monai data prepare` makes one of raw downloads."
        )
    images: dict[str, list[ListedImage]] = {}
    findings: list[Finding] = []
    for domain, splits in lists.items():
        images[domain] = []
        for split in splits:
            rows, problem = _read_list(folder, domain, split)
            images[domain] += rows
            if problem is not None:
                findings.append(Finding("error", domain, problem))
    return PreparedFolder(folder, images, lists, findings)


def listed_images(
    root: str | os.PathLike[str], domains: Sequence[str] | None = None
) -> dict[str, list[ListedImage]]:
    """Return the rows of domains for work that needs rows; the files may still be missing.

    Args:
        root: Folder in the authors' layout.
        domains: Names of domains; all by default.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If there are no lists, no such domain, or a domain without any row.
    """
    folder = read_folder(root).only(domains)
    for domain, images in folder.images.items():
        if not images:
            reasons = " ".join(str(f.problem) for f in folder.findings if f.domain == domain)
            raise ValueError(f"{domain} in {folder.root} lists no images. {reasons}".rstrip())
    return folder.images


def _find_lists(root: Path) -> dict[str, tuple[str, ...]]:
    """Return the splits of each domain, including lists whose header is wrong."""
    found = {domain: set(files) for domain, files in listed_domains(root).items()}
    for path in sorted(root.glob("*.csv")):
        stem, _, split = path.stem.rpartition("_")
        domain, split = (stem, split) if stem and split in SPLITS else (path.stem, "")
        is_domain = domain in DOMAINS or (root / domain).is_dir()
        if is_domain and (split or not found.get(domain)):
            found.setdefault(domain, set()).add(split)
    return {
        domain: tuple(split for split in SPLITS if split in found[domain])
        for domain in sorted(found)
    }


def _read_list(root: Path, domain: str, split: str) -> tuple[list[ListedImage], Problem | None]:
    name = list_name(domain, split)
    try:
        with (root / name).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            rows = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return [], Problem(
            name, "the list cannot be read", "Save it as CSV in UTF-8.", detail=str(error)
        )
    columns = [column.strip().lower() for column in header]
    images = []
    for line, cells in rows if "image" in columns else ():
        row = dict(zip(columns, map(str.strip, cells), strict=False))
        images.append(
            ListedImage(
                root=root,
                domain=domain,
                split=split,
                line=line,
                image=row.get("image", ""),
                mask=row.get("mask", ""),
            )
        )
    if header != _HEADER:
        return images, Problem(
            name,
            "the header is not image,mask",
            "Make it the first line, and leave other columns out.",
            detail=",".join(header) or "nothing",
        )
    if not images:
        return [], Problem(name, "the list has no rows", "Prepare the domain again.")
    return images, None


def _unknown(root: Path, domain: str, known: Iterable[str]) -> str:
    lowered = {name.lower(): name for name in known}
    close = difflib.get_close_matches(domain.lower(), lowered, n=1)
    hint = f" Did you mean {lowered[close[0]]!r}?" if close else ""
    return f"{root} has no domain {domain!r}. It has: {', '.join(known)}.{hint}"
