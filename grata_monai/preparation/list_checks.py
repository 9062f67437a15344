# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with the lists of a domain, without a look into the images."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath

from grata_monai.data import DOMAINS
from grata_monai.preparation.findings import Finding, Severity
from grata_monai.preparation.folder import ListedImage, PreparedFolder, list_name
from grata_monai.preparation.problems import Problem
from grata_monai.preparation.store import MANIFEST, PROBLEMS, ROI_TABLE

_OURS = frozenset((MANIFEST, ROI_TABLE, PROBLEMS))
_OF_SYSTEMS = frozenset(("thumbs.db", "desktop.ini"))


def check_lists(folder: PreparedFolder) -> Iterator[Finding]:
    """Yield what is wrong with the rows of each domain and with its lists together."""
    for domain, images in folder.images.items():
        for severity, problem in _list_problems(folder, domain, images):
            yield Finding(severity, domain, problem)


def check_strangers(folder: PreparedFolder, domains: Iterable[str]) -> Iterator[Finding]:
    """Yield the files in the folders of domains that no list names.

    Args:
        folder: All lists of the folder, for domains may share folders.
        domains: Whose folders to search: those named like the domain, and those of its images.
    """
    named = {
        os.path.abspath(path)
        for images in folder.images.values()
        for image in images
        for path in (image.image_path, image.mask_path)
        if path is not None
    }
    for domain in domains:
        cells = (Path(image.image.replace("\\", "/")) for image in folder.images[domain])
        tops = {domain, *(cell.parts[0] for cell in cells if cell.parts)}
        # never walk what is outside of the folder, as an absolute path would have it
        tops = {top for top in tops if top != os.pardir and not _is_absolute(top)}
        for top in sorted(tops):
            for path in _files_below(folder.root / top):
                if os.path.abspath(path) not in named:
                    yield Finding("warning", domain, _stranger(folder.root, path))


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_ignored(name))
        yield from (Path(parent, name) for name in sorted(files) if not _is_ignored(name))


def _is_ignored(name: str) -> bool:
    return (
        name.startswith(".")
        or name == "__MACOSX"
        or name in _OURS
        or name.lower() in _OF_SYSTEMS
        or name.endswith("Zone.Identifier")
    )


def _stranger(root: Path, path: Path) -> Problem:
    return Problem(
        path.relative_to(root).as_posix(), "no list names the file", "Remove it, or add its row."
    )


def _list_problems(
    folder: PreparedFolder, domain: str, images: list[ListedImage]
) -> Iterator[tuple[Severity, Problem]]:
    yield from _split_problems(domain, folder.lists[domain])
    for image in images:
        yield from _row_problems(image)
    yield from _repeated(images)
    yield from _shared_masks(images)
    without = [image for image in images if image.image and not image.mask]
    if without and len(without) < len(images):
        for image in without:
            yield (
                "warning",
                Problem(
                    image.image,
                    "there is no mask, though others of the domain have one",
                    "Add it: as it is, nothing of the domain is scored.",
                ),
            )
    yield from _count_problems(domain, images)


def _split_problems(domain: str, splits: tuple[str, ...]) -> Iterator[tuple[Severity, Problem]]:
    expected = DOMAINS[domain].csv_files if domain in DOMAINS else ()
    names = [list_name(domain, split) for split in splits]
    if len(splits) > 1 and "" in splits:
        yield (
            "warning",
            Problem(list_name(domain, ""), "the list is not read, for there are lists with splits",
                    "Keep either kind.", "as " + names[0]),
        )  # fmt: skip
    missing = [list_name(domain, s) for s in ("train", "test") if s not in splits]
    if len(missing) == 1:
        cure = "Add it; without it only the other split can be read."
        yield "error", Problem(missing[0], "the list is missing", cure)
    elif expected and not set(names) & set(expected):
        detail = f"it looks for {' and '.join(expected)}"
        cure = "Rename or split the list if that code is to read it."
        yield "warning", Problem(names[0], "the authors' code does not read the list", cure, detail)


def _row_problems(image: ListedImage) -> Iterator[tuple[Severity, Problem]]:
    if not image.image:
        yield (
            "error",
            Problem(image.row, "the column image is empty", "Remove the row, or complete it."),
        )
        return
    cells = ((image.image, image.image_path), (image.mask, image.mask_path))
    for cell, path in cells:
        if path is None:
            continue
        if _is_absolute(cell):
            cure = "Write it relative to the folder of the list, so that the folder can be moved."
            yield "error", Problem(image.row, "the path is absolute", cure, cell)
        elif os.path.relpath(path, image.root).split(os.sep)[0] == os.pardir:
            cure = "Move the file into the folder, so that the folder is complete."
            yield "error", Problem(image.row, "the path leads out of the folder", cure, cell)
        if "\\" in cell:
            cure = "Write /; the authors' code finds such a file on Windows only."
            yield "warning", Problem(image.row, "the path has backslashes", cure, cell)
        if not path.is_file():
            cure = "Move it there, or correct the row."
            yield "error", Problem(cell, "the file is missing", cure, image.row)


def _is_absolute(cell: str) -> bool:
    windows = PureWindowsPath(cell)
    return bool(windows.drive or windows.root)


def _repeated(images: list[ListedImage]) -> Iterator[tuple[Severity, Problem]]:
    """Find images that a stream would read twice."""
    first: dict[str, ListedImage] = {}
    for image in images:
        if not image.image:
            continue
        earlier = first.setdefault(os.path.abspath(image.image_path), image)
        if earlier is image:
            continue
        detail = f"{earlier.row} and {image.row}"
        if earlier.split == image.split:
            problem = Problem(image.image, "the list names the image twice", "Remove one.", detail)
        else:
            cure = "Remove one: what a model trained on does not test it."
            problem = Problem(image.image, "the image is in two splits", cure, detail)
        yield "error", problem


def _shared_masks(images: list[ListedImage]) -> Iterator[tuple[Severity, Problem]]:
    owners: dict[str, list[str]] = defaultdict(list)
    for image in images:
        if image.mask and image.image and image.image not in owners[image.mask]:
            owners[image.mask].append(image.image)
    for mask, names in owners.items():
        if len(names) > 1:
            cure = "Give each image its own."
            detail = " and ".join(names[:2])
            yield "error", Problem(mask, "several images have the same mask file", cure, detail)


def _count_problems(domain: str, images: list[ListedImage]) -> Iterator[tuple[Severity, Problem]]:
    if domain not in DOMAINS:
        return
    expected = DOMAINS[domain].images
    count = len(Counter(image.image for image in images if image.image))
    if count == expected:
        return
    what = "the domain is partial" if count < expected else "the domain has too many images"
    cure = "Results on it cannot be compared with published ones."
    yield "warning", Problem(domain, what, cure, f"{count} of {expected}")
