# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""REFUGE: the training set, and the validation and test sets, in their known nestings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt

from grata_monai._checks import check_choice
from grata_monai.preparation.decoding import Mask, Notes, decode_by_levels
from grata_monai.preparation.official import official_stems
from grata_monai.preparation.raw_dataset import (
    Found,
    RawDataset,
    group_files,
    in_other_framing,
    pair_files,
)
from grata_monai.preparation.sources import RawFile
from grata_monai.preparation.splits import even_split, listed_split

_MASK_FOLDERS = frozenset({"disc_cup_masks", "gts", "masks", "mask", "disc_masks", "disc_mask"})


@dataclass(frozen=True, kw_only=True)
class _Refuge(RawDataset):
    """What both parts share: names, and masks with the authors' levels or labels 0/1/2."""

    def decode(self, levels: Sequence[npt.NDArray[Any]], notes: Notes) -> Mask:
        """Return disc and cup; the levels tell which of the two encodings a mirror has."""
        return decode_by_levels(levels[0])

    def _pair(
        self, files: Sequence[RawFile], name: str, splits: dict[str, tuple[str, ...]]
    ) -> Found:
        usable = [file for file in files if not in_other_framing(file)]
        images = group_files(
            usable, rf"({name})\.(jpe?g|png|tiff?)", where=lambda file: not _is_mask(file)
        )
        masks = group_files(usable, rf"({name})\.(bmp|png)", where=_is_mask)
        # a mirror that has the original BMP files has copies in another encoding beside them
        best = {
            stem: [file for file in group if file.suffix == ".bmp"] or group
            for stem, group in masks.items()
        }
        return pair_files(splits, images, {"mask": best})


@dataclass(frozen=True, kw_only=True)
class RefugeTraining(_Refuge):
    """REFUGE training set, 400 eyes.

    Args:
        split: "even" (320/80; which 80 the published folder has is not known, so every fifth image
            is taken), "file" or "none" (one list).
        test_names: For "file": text file with the names of the test images.
    """

    key: ClassVar[str] = "refuge"
    split: str = "even"
    test_names: str | None = None

    def __post_init__(self) -> None:
        """Check the choices."""
        check_choice("RefugeTraining", "split", self.split, ("even", "file", "none"))

    @property
    def domain(self) -> str:
        """Name of the prepared domain."""
        return "REFUGE"

    def find(self, files: Sequence[RawFile]) -> Found:
        """Pair the files of a download."""
        names = official_stems(self.domain)[""]
        splits = {"": names}
        if self.split == "even":
            splits = even_split(names, 80)
        elif self.split == "file":
            splits = listed_split(names, self.test_names or "")
        return self._pair(files, r"[gn]\d{4}", splits)


@dataclass(frozen=True, kw_only=True)
class RefugeValid(_Refuge):
    """REFUGE validation and test sets in one list, 400 + 400 eyes."""

    key: ClassVar[str] = "refuge-valid"

    @property
    def domain(self) -> str:
        """Name of the prepared domain."""
        return "REFUGE_Valid"

    def find(self, files: Sequence[RawFile]) -> Found:
        """Pair the files of a download."""
        return self._pair(files, r"[VT]\d{4}", {"": official_stems(self.domain)[""]})


def _is_mask(file: RawFile) -> bool:
    return file.suffix == ".bmp" or bool(_MASK_FOLDERS.intersection(file.folders))
