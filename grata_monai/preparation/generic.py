# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Anybody's own photographs, with masks in any encoding or without masks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from grata_monai._checks import check_choice, check_number
from grata_monai.data import IMAGE_SUFFIXES
from grata_monai.preparation.decoding import (
    AUTHORS,
    LABELS,
    SIZE_RULES,
    Mask,
    MaskLevels,
    Notes,
    decode_binary,
    decode_by_levels,
)
from grata_monai.preparation.pair_table import read_pair_table
from grata_monai.preparation.problems import Problem
from grata_monai.preparation.raw_dataset import Found, RawDataset, RawItem, with_unique_names
from grata_monai.preparation.sources import RawFile
from grata_monai.preparation.splits import Splits, even_split, listed_split

ENCODINGS = ("auto", "grey", "labels", "levels")
_ONE = frozenset(
    {"mask", "masks", "label", "labels", "gt", "gts", "ground_truth", "groundtruth"}
    | {"annotation", "annotations", "segmentation", "segmentations"}
)
# not "od": that is the right eye, oculus dexter, at least as often
_DISC = frozenset({"disc", "discs", "disk", "disks", "optic_disc", "optic disc"})
_CUP = frozenset({"cup", "cups", "optic_cup", "optic cup"})
_IMAGES = frozenset({"image", "images", "photo", "photos", "photographs"})
_TELLING = _ONE | _DISC | _CUP | _IMAGES
_ENDINGS = {
    "mask": r"[ _-](mask|label|seg|gt|segmentation)",
    "disc": r"[ _-](optic[ _-]?)?(disc|disk)([ _-](mask|seg))?",
    "cup": r"[ _-](optic[ _-]?)?cup([ _-](mask|seg))?",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Generic(RawDataset):
    """Photographs of one's own.

    Without a table of pairs, masks are found by their names: in a folder such as ``masks`` (or
    ``disc`` and ``cup``) under the photograph's name, or anywhere with an ending such as
    ``_mask`` (``_disc`` and ``_cup``).

    Args:
        name: Name of the domain.
        masks: Whether there are masks; without, only photographs are prepared.
        pairs: CSV with the columns image and mask, or image, disc and cup; if wanted also split
            ("train" or "test"), center_row and center_col.
        encoding: Of one-file masks: "grey" (0 cup, 128 rim, 255 background), "labels" (0
            background, 1 rim, 2 cup), "levels" (as given), or "auto" (grey or labels, whichever a
            mask has). Two-file masks have 0 and 255 (or 1).
        levels: For "levels": background, rim and cup; the cup may be None.
        tolerance: How far a level may be off.
        size_mismatch: What to do where photograph and mask differ in size: "error", "crop" or
            "resize".
        split: "none" (one list), "even" or "file"; a split in the table of pairs wins.
        test_share: Share of test images for "even".
        test_names: For "file": text file with the names of the test images.
    """

    key: ClassVar[str] = "generic"
    name: str = "Own"
    masks: bool = True
    pairs: str | None = None
    encoding: str = "auto"
    levels: tuple[int, int, int | None] | None = None
    tolerance: int = 0
    size_mismatch: str = "error"
    split: str = "none"
    test_share: float = 0.2
    test_names: str | None = None

    def __post_init__(self) -> None:
        """Check the choices."""
        check_choice("Generic", "encoding", self.encoding, ENCODINGS)
        check_choice("Generic", "size_mismatch", self.size_mismatch, SIZE_RULES)
        check_choice("Generic", "split", self.split, ("none", "even", "file"))
        check_number("Generic", "tolerance", self.tolerance, minimum=0, maximum=60, integer=True)
        check_number("Generic", "test_share", self.test_share, minimum=0.0, maximum=1.0)
        if (self.encoding == "levels") != (self.levels is not None):
            raise ValueError("The levels of a mask go with the encoding 'levels', and only there.")
        if not _NAME.fullmatch(self.name) or self.name.endswith(("_train", "_test")):
            raise ValueError(
                "The 'name' parameter of Generic must be letters, digits, '_', '.' and '-', and "
                f"not end in _train or _test. Got {self.name!r}."
            )

    @property
    def title(self) -> str:
        """Name of the data set in words."""
        return self.name

    @property
    def terms(self) -> str:
        """What is known of the terms of use."""
        return "Your own data: the terms are those of whoever owns them."

    @property
    def domain(self) -> str:
        """Name of the prepared domain."""
        return self.name

    @property
    def size_rule(self) -> str:
        """What to do if photograph and mask differ in size."""
        return self.size_mismatch

    def find(self, files: Sequence[RawFile]) -> Found:
        """Pair the files by the table, or by their names."""
        if self.pairs is not None:
            table = read_pair_table(self.pairs, files, masks=self.masks)
            return self._with_splits(with_unique_names(table))
        pictures = [file for file in files if file.suffix in IMAGE_SUFFIXES]
        by_role = {
            role: [f for f in pictures if _role(f) == role] for role in ("mask", "disc", "cup")
        }
        photographs = [file for file in pictures if _role(file) is None]
        items: list[RawItem] = []
        problems: list[Problem] = []
        remarks: tuple[str, ...] = ()
        if not self.masks:
            items = [RawItem(file.stem, "", file, ()) for file in photographs]
            others = [file.path for members in by_role.values() for file in members]
            if others:
                remarks = (
                    f"{len(others)} files left out as masks by their names: {others[0]} ...",
                )
        else:
            _pair_by_name(photographs, by_role, items, problems)
        return self._with_splits(with_unique_names(Found(items, problems, remarks)))

    def decode(self, levels: Sequence[npt.NDArray[Any]], notes: Notes) -> Mask:
        """Return disc and cup of one mask file, or of two."""
        if len(levels) == 2:
            disc, cup = (decode_binary(_snap(level, self.tolerance)) for level in levels)
            return np.stack([disc, cup])
        if self.encoding == "auto":
            return decode_by_levels(_snap(levels[0], self.tolerance))
        known = {"grey": AUTHORS, "labels": LABELS}.get(self.encoding)
        if known is None:
            background, rim, cup_level = self.levels or (0, 1, 2)
            known = MaskLevels(background=background, rim=rim, cup=cup_level)
        return MaskLevels(known.background, known.rim, known.cup, self.tolerance).decode(levels[0])

    def _with_splits(self, found: Found) -> Found:
        if self.split == "none" or any(item.split for item in found.items):
            return found
        names = [item.name for item in found.items]
        splits: Splits = (
            even_split(names, max(bool(self.test_share), round(self.test_share * len(names))))
            if self.split == "even"
            else listed_split(names, self.test_names or "")
        )
        items = {item.name: item for item in found.items}
        moved = [
            RawItem(name, split, items[name].image, items[name].masks, items[name].center)
            for split, members in splits.items()
            for name in members
        ]
        return Found(moved, found.problems, found.remarks)


def _role(file: RawFile) -> str | None:
    """Return what a file is a mask of, going by its folders and its name; None: a photograph.

    The innermost folder that says something counts: segmentation/images holds photographs.
    """
    told = next((name for name in reversed(file.folders) if name in _TELLING), "")
    structure = next((name for name in reversed(file.folders) if name in _DISC | _CUP), "")
    if structure and told not in _IMAGES:
        return "disc" if structure in _DISC else "cup"
    for role in ("disc", "cup", "mask"):
        if re.search(_ENDINGS[role] + "$", file.stem, re.IGNORECASE):
            return role
    return "mask" if told in _ONE else None


def _eye(file: RawFile, role: str) -> str:
    """Return the name of the photograph that a mask belongs to, in lower case."""
    return re.sub(_ENDINGS[role] + r"$", "", file.stem, flags=re.IGNORECASE).lower()


def _pair_by_name(
    photographs: Sequence[RawFile],
    by_role: Mapping[str, Sequence[RawFile]],
    items: list[RawItem],
    problems: list[Problem],
) -> None:
    groups: dict[str, dict[str, list[RawFile]]] = {}
    for role, files in by_role.items():
        groups[role] = {}
        for file in files:
            groups[role].setdefault(_eye(file, role), []).append(file)
    used: set[str] = set()
    for photograph in photographs:
        fits = [
            _nearest(groups[role].get(photograph.stem.lower(), []), photograph)
            for role in ("disc", "cup", "mask")
        ]
        used.update(file.path for files in fits for file in files)
        chosen = [*fits[0], *fits[1]] if fits[0] and fits[1] else fits[2]
        if any(len(files) > 1 for files in fits):
            problems.append(_ambiguous(photograph, fits))
        elif chosen:
            items.append(RawItem(photograph.stem, "", photograph, tuple(chosen)))
        else:
            problems.append(_unpaired(photograph, *map(bool, fits[:2])))
    problems.extend(
        Problem(file.location, "mask without a photograph", "Add the photograph of the same name.")
        for files in by_role.values()
        for file in files
        if file.path not in used
    )


def _nearest(files: Sequence[RawFile], photograph: RawFile) -> list[RawFile]:
    """Return the masks that share the most outer folders with the photograph."""

    def shared(file: RawFile) -> int:
        pairs = zip(file.folders, photograph.folders, strict=False)
        return next((i for i, (one, other) in enumerate(pairs) if one != other), len(file.folders))

    most = max(map(shared, files), default=0)
    return [file for file in files if shared(file) == most]


def _ambiguous(photograph: RawFile, fits: Sequence[Sequence[RawFile]]) -> Problem:
    return Problem(
        photograph.location,
        "several masks fit the photograph",
        "Keep one, or say with --pairs which it is.",
        ", ".join(file.path for files in fits for file in files if len(files) > 1),
    )


def _unpaired(photograph: RawFile, disc: bool, cup: bool) -> Problem:
    missing = "cup" if disc else "disc" if cup else "mask"
    return Problem(
        photograph.location,
        "photograph without a mask",
        "Add the mask, give a table with --pairs, or prepare photographs alone with --no-masks.",
        f"missing: {missing}",
    )


def _snap(levels: npt.NDArray[Any], tolerance: int) -> npt.NDArray[Any]:
    """Return levels near 0, 128 or 255 as these, so that they can be told by their values."""
    snapped = levels
    for level in (0, 128, 255) if tolerance and levels.max() > 2 else ():
        near = np.abs(levels.astype(np.int64) - level) <= tolerance
        snapped = np.where(near, np.asarray(level, dtype=levels.dtype), snapped)
    return snapped
