# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What a raw data set has to say of itself, and how files are paired by their names."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy.typing as npt

from grata_monai.data import DOMAINS
from grata_monai.imaging import ImageSource, read_levels
from grata_monai.preparation.decoding import Mask, Notes
from grata_monai.preparation.problems import FileError, Problem
from grata_monai.preparation.sources import RawFile

_HOSTILE = re.compile(r'[<>:"|?*\\/\x00-\x1f\ufffd]')
_LONGEST_NAME = 200  # bytes; file systems take 255, and temporary names need some
MISSING = "neither photograph nor mask was found"
Grouped = Mapping[str, list[RawFile]]
"""Files by the lower-case name of the eye."""


@dataclass(frozen=True)
class RawItem:
    """One photograph of a raw data set.

    Args:
        name: Name of the prepared files, without extension.
        split: "train", "test", or "" in a set without splits.
        image: The photograph.
        masks: Its mask files in the order in which the data set decodes them; may be none.
        center: (row, column) of the disc in the photograph, if the data say so.
    """

    name: str
    split: str
    image: RawFile
    masks: tuple[RawFile, ...]
    center: tuple[float, float] | None = None


@dataclass(frozen=True)
class Found:
    """What was found in a download.

    Args:
        items: Complete photographs, in the order of the lists to write.
        problems: What is missing or contradicts itself.
        remarks: What a person should know besides.
    """

    items: list[RawItem]
    problems: list[Problem]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RawDataset(ABC):
    """A raw data set with the choices that were made for it.

    Subclasses are frozen dataclasses; their fields are the choices, which the manifest records.
    """

    key: ClassVar[str]

    @property
    @abstractmethod
    def domain(self) -> str:
        """Name of the prepared domain."""

    @property
    def title(self) -> str:
        """Name of the data set in words."""
        return DOMAINS[self.domain].title

    @property
    def terms(self) -> str:
        """What is known of the terms of use."""
        return DOMAINS[self.domain].terms

    @property
    def size_rule(self) -> str:
        """What to do if photograph and mask differ in size, see ``fit_mask``."""
        return "error"

    @abstractmethod
    def find(self, files: Sequence[RawFile]) -> Found:
        """Pair the files of a download."""

    @abstractmethod
    def decode(self, levels: Sequence[npt.NDArray[Any]], notes: Notes) -> Mask:
        """Return disc and cup of an item's mask files.

        Args:
            levels: HxW per mask file, all of the same size.
            notes: Takes what was done to the masks.

        Raises:
            FileError: If the levels are not those of such masks.
        """

    def view(self, photograph: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the part of a stored photograph that counts."""
        return photograph

    def read_levels(self, file: RawFile) -> npt.NDArray[Any]:
        """Return the stored levels of a mask file, HxW."""
        return read_levels(ImageSource(file.location, file.read()))

    def choices(self) -> dict[str, Any]:
        """Return the fields, as they are recorded: files by name and content, not by place."""
        choices = dataclasses.asdict(self)
        for key in ("pairs", "test_names"):
            if choices.get(key):
                path = Path(choices[key])
                digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
                choices[key] = f"{path.name} (sha256 {digest})"
        return choices


def group_files(
    files: Iterable[RawFile], pattern: str, *, where: Callable[[RawFile], bool] = lambda _: True
) -> dict[str, list[RawFile]]:
    """Return the files whose names match, by the first group of the pattern in lower case.

    Args:
        files: All files.
        pattern: Regular expression for the whole name with extension; case does not matter.
        where: Further condition.
    """
    groups: dict[str, list[RawFile]] = {}
    compiled = re.compile(pattern, re.IGNORECASE)
    for file in files:
        match = compiled.fullmatch(file.path.rsplit("/", 1)[-1])
        if match and where(file):
            groups.setdefault(match[1].lower(), []).append(file)
    return groups


def with_unique_names(found: Found) -> Found:
    """Give photographs of the same name in different folders names with their folders.

    Characters that some system does not take in names become ``_``.
    """
    taken = Counter(item.name.lower() for item in found.items)
    items = []
    for item in found.items:
        name = item.name
        if taken[name.lower()] > 1:
            name = item.image.path.rsplit(".", 1)[0].replace("/", "_")
        items.append(dataclasses.replace(item, name=_HOSTILE.sub("_", name)))
    return dataclasses.replace(found, items=items)


def check_claims(found: Found) -> Found:
    """Take out what would overwrite another image, or has a mask that another one has, too.

    Whichever of them is right, guessing would put one eye's mask on another's photograph.
    """
    names = Counter(item.name.lower() for item in found.items)
    masks = Counter(mask.path for item in found.items for mask in item.masks)
    items, problems = [], []
    for item in found.items:
        shared = [mask.path for mask in item.masks if masks[mask.path] > 1]
        if names[item.name.lower()] > 1:
            what, cure, detail = "several photographs have the same name", "Rename one.", item.name
        elif shared:
            what, cure = "another photograph has the same mask", "Give each its own."
            detail = shared[0]
        elif len(item.name.encode()) > _LONGEST_NAME:
            what, cure, detail = "the name is too long", "Shorten it or its folders'.", item.name
        else:
            items.append(item)
            continue
        problems.append(Problem(item.image.location, what, cure, detail))
    return dataclasses.replace(found, items=items, problems=[*found.problems, *problems])


def in_other_framing(file: RawFile) -> bool:
    """Tell whether a file lies in one of the folders of crops that mirrors add."""
    return any(folder.endswith(("_cropped", "_square")) for folder in file.folders)


def pair_files(
    splits: Mapping[str, Sequence[str]], images: Grouped, masks: Mapping[str, Grouped]
) -> Found:
    """Pair photographs and masks of the expected eyes; whatever is missing becomes a problem.

    Args:
        splits: Names of the eyes by split.
        images: The photographs by lower-case name.
        masks: By role (as "disc" and "cup"), the masks by lower-case name.
    """
    items: list[RawItem] = []
    problems: list[Problem] = []
    for split, names in splits.items():
        for name in names:
            found = _pair(name, split, images, masks)
            if isinstance(found, RawItem):
                items.append(found)
            else:
                problems.append(found)
    return Found(items, problems)


def _pair(
    name: str, split: str, images: Grouped, masks: Mapping[str, Grouped]
) -> RawItem | Problem:
    image = images.get(name.lower(), [])
    found = {role: group.get(name.lower(), []) for role, group in masks.items()}
    absent = [role for role, files in found.items() if not files]
    if not image and len(absent) == len(found):
        return Problem(
            name,
            MISSING,
            "Complete the download, or go on without with --allow-partial.",
        )
    if not image:
        first = next(files[0] for files in found.values() if files)
        return Problem(
            first.location, "mask without a photograph", "Add the photograph of the same name."
        )
    if absent:
        return Problem(
            image[0].location,
            "photograph without a mask",
            "Add the mask, or leave the photograph out with --allow-partial.",
            f"missing: {' and '.join(absent)}",
        )
    try:
        return RawItem(name, split, _only(image), tuple(_only(files) for files in found.values()))
    except FileError as error:
        return error.of(name)
    except OSError as error:
        return Problem(name, "a file cannot be read", "Download or export it again.", str(error))


def _only(files: Sequence[RawFile]) -> RawFile:
    """Return the file, or the first of several copies."""
    first = files[0]
    if any(file.size != first.size or file.read() != first.read() for file in files[1:]):
        raise FileError(
            "there are different files of the same name",
            "Keep one of them, or give a folder that has only one.",
            ", ".join(file.location for file in files[:4]),
        )
    return files[0]
