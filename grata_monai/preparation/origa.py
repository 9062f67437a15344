# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""ORIGA(-light), as the mirrors have it: labels 0/1/2 as PNG or MATLAB files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt
import pandas as pd

from grata_monai._checks import check_choice
from grata_monai.preparation._matlab_files import read_matrix
from grata_monai.preparation.decoding import (
    LABELS,
    SIZE_RULES,
    Mask,
    Notes,
    fill_disc,
)
from grata_monai.preparation.official import official_stems
from grata_monai.preparation.problems import FileError, Problem
from grata_monai.preparation.raw_dataset import (
    Found,
    RawDataset,
    group_files,
    in_other_framing,
    pair_files,
)
from grata_monai.preparation.sources import RawFile
from grata_monai.preparation.splits import Splits, even_split, listed_split

MASK_FILES = ("auto", "png", "mat")
_OTHER_SETS = frozenset({"refuge", "g1020"})  # share an upload with ORIGA


@dataclass(frozen=True, kw_only=True)
class Origa(RawDataset):
    """ORIGA(-light), 650 eyes.

    Args:
        split: "even" (500/150 as in the published folder, which 150 is not known, so they are
            spread evenly), "set" (325/325 by the column Set of the mirror's list), "file"
            or "none".
        test_names: For "file": text file with the names of the test images.
        size_mismatch: What to do where photograph and mask differ in size: "crop" (a mask of the
            same height that is wider loses both sides equally), "resize" or "error".
        mask_files: "png", "mat", or "auto" (PNG where there is one).
    """

    key: ClassVar[str] = "origa"
    split: str = "even"
    test_names: str | None = None
    size_mismatch: str = "crop"
    mask_files: str = "auto"

    def __post_init__(self) -> None:
        """Check the choices."""
        check_choice("Origa", "split", self.split, ("even", "set", "file", "none"))
        check_choice("Origa", "size_mismatch", self.size_mismatch, SIZE_RULES)
        check_choice("Origa", "mask_files", self.mask_files, MASK_FILES)

    @property
    def domain(self) -> str:
        """Name of the prepared domain."""
        return "ORIGA"

    @property
    def size_rule(self) -> str:
        """What to do if photograph and mask differ in size."""
        return self.size_mismatch

    def find(self, files: Sequence[RawFile]) -> Found:
        """Pair the files of a download."""
        usable = [
            file
            for file in files
            if not in_other_framing(file) and not _OTHER_SETS.intersection(file.folders)
        ]
        images = group_files(
            usable,
            r"(\d{3})\.(jpe?g|png|tiff?)",
            where=lambda file: not _is_annotation(file),
        )
        png = group_files(usable, r"(\d{3})\.(png|bmp)", where=_is_annotation)
        mat = group_files(usable, r"(\d{3})\.mat")
        masks = {"auto": {**mat, **png}, "png": png, "mat": mat}[self.mask_files]
        splits = self._splits(usable)
        found = pair_files(splits, images, {"mask": masks})
        listed = {name for names in splits.values() for name in names}
        rest = [name for name in official_stems(self.domain)[""] if name not in listed]
        without = pair_files({"": rest}, images, {"mask": masks})
        unlisted = [
            Problem(
                item.image.location,
                "the list says neither set A nor set B",
                "Complete the list, or choose another split.",
            )
            for item in without.items
        ]
        return Found(found.items, [*found.problems, *without.problems, *unlisted])

    def read_levels(self, file: RawFile) -> npt.NDArray[Any]:
        """Return the stored levels of a mask file, HxW.

        Raises:
            FileError: If a MATLAB file does not hold a matrix called mask.
        """
        return _read_mat(file) if file.suffix == ".mat" else super().read_levels(file)

    def decode(self, levels: Sequence[npt.NDArray[Any]], notes: Notes) -> Mask:
        """Return disc and cup; a broken outline's holes are filled."""
        return fill_disc(LABELS.decode(levels[0]), notes)

    def _splits(self, files: Sequence[RawFile]) -> Splits:
        names = official_stems(self.domain)[""]
        if self.split == "even":
            return even_split(names, 150)
        if self.split == "file":
            return listed_split(names, self.test_names or "")
        return _by_set(files, names) if self.split == "set" else {"": names}


def _is_annotation(file: RawFile) -> bool:
    """Tell by the innermost folder that says something."""
    for folder in reversed(file.folders):
        if "mask" in folder or "annotation" in folder:
            return True
        if "image" in folder:
            return False
    return False


def _read_mat(file: RawFile) -> npt.NDArray[Any]:
    try:
        levels = read_matrix(file.read(), "mask")
    except (OSError, ValueError) as error:
        raise FileError(
            "the MATLAB file has no matrix 'mask' that can be read",
            "Download it again, or choose the PNG masks.",
            f"{type(error).__name__}: {error}",
        ) from error
    if levels.ndim != 2:
        raise FileError(
            "the MATLAB file's 'mask' is not a matrix of numbers",
            "Download it again, or choose the PNG masks.",
            f"shape {levels.shape}",
        )
    return levels


def _by_set(files: Sequence[RawFile], names: Sequence[str]) -> Splits:
    """Read the sets A (training) and B (test) from the list that comes with the mirrors."""
    for file in files:
        if file.suffix == ".csv":
            try:
                table = pd.read_csv(io.BytesIO(file.read()))
            except ValueError:  # not the list: some other file, maybe broken
                continue
            columns = {str(column).strip().lower(): column for column in table.columns}
            if {"filename", "set"} <= set(columns):
                stems = table[columns["filename"]].astype(str).str.extract(r"(\d{3})")[0]
                sets = dict(
                    zip(
                        stems,
                        table[columns["set"]].astype(str).str.strip().str.upper(),
                        strict=True,
                    )
                )
                return {
                    "train": tuple(name for name in names if sets.get(name) == "A"),
                    "test": tuple(name for name in names if sets.get(name) == "B"),
                }
    raise ValueError(
        "The split 'set' needs the mirror's list with the columns Filename and Set (OrigaList.csv "
        "or glaucoma.csv); there is none. Choose another split."
    )
