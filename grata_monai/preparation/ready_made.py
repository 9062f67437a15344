# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Folders that others have prepared: the authors' layout, Zenodo 8009107, DoFE, RIM-ONE DL."""

from __future__ import annotations

import io
import posixpath
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from grata_monai._checks import check_choice
from grata_monai.data import DOMAINS, natural_key
from grata_monai.preparation.decoding import Mask, Notes, decode_binary, decode_by_thresholds
from grata_monai.preparation.problems import Problem
from grata_monai.preparation.raw_dataset import (
    Found,
    RawDataset,
    RawItem,
    group_files,
    pair_files,
    with_unique_names,
)
from grata_monai.preparation.sources import RawFile

PARTITIONS = ("random", "hospital")
_DOFE = {
    "domain1": "Drishti_GS",
    "domain2": "RIM_ONE_r3",
    "domain3": "REFUGE",
    "domain4": "REFUGE_Valid",
}
_RIM_ONE_DL_NAME = r"(r[123]_Im\d{3})"
_SPLITS = ("train", "test", "")


@dataclass(frozen=True, kw_only=True)
class _ReadyMade(RawDataset):
    """What the folders have in common: a domain whose name they say."""

    name: str

    @property
    def domain(self) -> str:
        """Name of the prepared domain."""
        return self.name

    @property
    def title(self) -> str:
        """Name of the data set in words."""
        return DOMAINS[self.name].title if self.name in DOMAINS else self.name

    @property
    def terms(self) -> str:
        """What is known of the terms of use."""
        if self.name in DOMAINS:
            return DOMAINS[self.name].terms
        return "Those of the images it was made from; a copy cannot grant more."

    def _remarks(self, items: Sequence[RawItem]) -> tuple[str, ...]:
        """Say so if a domain of the benchmark has not as many images as the papers used."""
        expected = DOMAINS[self.name].images if self.name in DOMAINS else len(items)
        if len(items) == expected:
            return ()
        return (f"{self.name} has {len(items)} images here, {expected} in the papers",)


@dataclass(frozen=True, kw_only=True)
class AuthorsFundus(_ReadyMade):
    """A domain in the layout of the GraTa and VPTTA authors, which Zenodo 8009107 has, too.

    Lists ``NAME_train.csv`` and ``NAME_test.csv`` (or ``NAME.csv``) with the columns image and
    mask. Where a list says ``x.tif`` for the mask and there is only ``x-1.tif`` (the first of six
    experts, in RIGA), that is taken, as the authors' code does.

    Args:
        name: Name of the domain.
    """

    key: ClassVar[str] = "authors-fundus"

    def find(self, files: Sequence[RawFile]) -> Found:
        """Pair the files as the lists say."""
        by_path = {file.path.lower(): file for file in files}
        items: list[RawItem] = []
        problems: list[Problem] = []
        lists = authors_lists(files).get(self.name, {})
        for split in _SPLITS:
            if split in lists:
                _read_list(lists[split], split, by_path, items, problems)
        return with_unique_names(Found(items, problems, self._remarks(items)))

    def decode(self, levels: Sequence[npt.NDArray[Any]], notes: Notes) -> Mask:
        """Return disc and cup with the thresholds of the authors' loader."""
        return decode_by_thresholds(levels[0], cup=0, rim=254)


@dataclass(frozen=True, kw_only=True)
class DofeFundus(_ReadyMade):
    """A domain of the DoFE folder: ``Domain1..4/{train,test}/ROIs/{image,mask}``.

    Its fourth domain is REFUGE's validation set alone, without the test set. Masks are read with
    the thresholds of its own loader.

    Args:
        name: Name of the domain, as in the authors' layout.
    """

    key: ClassVar[str] = "dofe"

    def find(self, files: Sequence[RawFile]) -> Found:
        """Pair the regions by their names."""
        items: list[RawItem] = []
        problems: list[Problem] = []
        for split in ("train", "test"):
            parts = {}
            for kind in ("image", "mask"):
                members = [file for file in files if self._holds(file, split, kind)]
                parts[kind] = group_files(members, r"(.+)\.png")
            names = [group[0].stem for part in parts.values() for group in part.values()]
            order = sorted(dict.fromkeys(names), key=natural_key)
            # the authors have one list for this domain
            listed = "" if self.name == "REFUGE_Valid" else split
            found = pair_files({listed: order}, parts["image"], {"mask": parts["mask"]})
            items += found.items
            problems += found.problems
        return Found(items, problems, self._remarks(items))

    def decode(self, levels: Sequence[npt.NDArray[Any]], notes: Notes) -> Mask:
        """Return disc and cup."""
        return decode_by_thresholds(levels[0], cup=50, rim=200)

    def _holds(self, file: RawFile, split: str, kind: str) -> bool:
        """Tell whether a file lies in this domain's folder of a split and kind."""
        ends = file.folders[-4:]
        return (
            len(ends) == 4 and _DOFE.get(ends[0]) == self.name and ends[1:] == (split, "rois", kind)
        )


@dataclass(frozen=True, kw_only=True)
class RimOneDl(_ReadyMade):
    """RIM-ONE DL: 485 crops, tight around the disc, so they cannot have the papers' framing.

    Args:
        name: Name of the domain.
        partition: "random" (339/146) or "hospital" (311/174).
    """

    key: ClassVar[str] = "rim-one-dl"
    name: str = "RIM_ONE_DL"
    partition: str = "random"

    def __post_init__(self) -> None:
        """Check the choices."""
        check_choice("RimOneDl", "partition", self.partition, PARTITIONS)

    @property
    def terms(self) -> str:
        """What is known of the terms of use."""
        return "Copying, redistribution and commercial use are prohibited by its license."

    def find(self, files: Sequence[RawFile]) -> Found:
        """Pair the files of a download."""
        folder = {"random": "partitioned_randomly", "hospital": "partitioned_by_hospital"}
        chosen = [file for file in files if folder[self.partition] in file.folders]
        masks = {
            role: group_files(files, _RIM_ONE_DL_NAME + rf"-1-{role}-T\.png")
            for role in ("disc", "cup")
        }
        items: list[RawItem] = []
        problems: list[Problem] = []
        for split in ("train", "test"):
            part = {"train": "training_set", "test": "test_set"}[split]
            members = [file for file in chosen if part in file.folders]
            images = group_files(members, _RIM_ONE_DL_NAME + r"\.png")
            names = sorted((group[0].stem for group in images.values()), key=natural_key)
            found = pair_files({split: names}, images, masks)
            items += found.items
            problems += found.problems
        return Found(items, problems)

    def decode(self, levels: Sequence[npt.NDArray[Any]], notes: Notes) -> Mask:
        """Return disc and cup of the two binary masks."""
        return np.stack([decode_binary(level) for level in levels])


RIM_ONE_DL_WARNING = (
    "RIM-ONE DL has crops that are tight around the disc: its framing is not that of the other "
    "domains, and a source model trained on theirs will do badly for that reason alone. Its r3 "
    "images are those of RIM-ONE r3: do not train on one and test on the other."
)


def recognize(files: Sequence[RawFile], *, partition: str = "random") -> list[RawDataset]:
    """Return the ready-made domains in a folder or archive.

    Args:
        files: The files of it.
        partition: Which partition of RIM-ONE DL.
    """
    dofe = {_DOFE[name] for file in files for name in file.folders if _is_dofe(file, name)}
    if dofe:
        return [DofeFundus(name=name) for name in _DOFE.values() if name in dofe]
    if any(folder.startswith("partitioned_") for file in files for folder in file.folders):
        return [RimOneDl(partition=partition)]
    return [AuthorsFundus(name=name) for name in authors_lists(files)]


def authors_lists(files: Sequence[RawFile]) -> dict[str, dict[str, RawFile]]:
    """Return the lists of images and masks by domain and split ("": one list without splits)."""
    domains: dict[str, dict[str, RawFile]] = {}
    for file in files:
        if file.suffix != ".csv" or "image" not in _columns(file):
            continue
        match = re.fullmatch(r"(.+)_(train|test)", file.stem)
        if match:
            domains.setdefault(match[1], {}).setdefault(match[2], file)
        elif set(_columns(file)) == {"image", "mask"}:
            domains.setdefault(file.stem, {}).setdefault("", file)
    return domains


def _is_dofe(file: RawFile, name: str) -> bool:
    return name in _DOFE and "rois" in file.folders


def _columns(file: RawFile) -> list[str]:
    first = file.read()[:4096].decode("utf-8-sig", errors="replace").splitlines()[:1]
    return [name.strip().strip('"').lower() for name in (first[0].split(",") if first else [])]


def _read_list(
    table: RawFile,
    split: str,
    by_path: dict[str, RawFile],
    items: list[RawItem],
    problems: list[Problem],
) -> None:
    """Pair the files of one list; its paths start from its own folder."""
    try:
        rows = pd.read_csv(
            io.BytesIO(table.read()), dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    except ValueError as error:  # pandas' own errors and wrong encodings are such
        problems.append(
            Problem(
                table.location, "the list cannot be read", "Save it as CSV in UTF-8.", str(error)
            )
        )
        return
    rows.columns = [str(name).strip().lower() for name in rows.columns]
    folder = PurePosixPath(table.path).parent

    def look_up(value: str) -> RawFile | None:
        whole = (folder / value.strip().replace("\\", "/")).as_posix()
        path = unicodedata.normalize("NFC", posixpath.normpath(whole)).lower()
        return by_path.get(path) or by_path.get(re.sub(r"\.tif$", "-1.tif", path))

    for line, row in enumerate(rows.to_dict("records"), 2):
        image, value = look_up(str(row["image"])), str(row.get("mask", ""))
        mask = look_up(value) if value else None
        if image is None or (value and mask is None):
            missing = str(row["image"]) if image is None else value
            problems.append(
                Problem(
                    f"{table.location}, line {line}",
                    "the list names a file that is not there",
                    "Complete the folder, or go on without with --allow-partial.",
                    missing,
                )
            )
        else:
            items.append(RawItem(image.stem, split, image, (mask,) if mask else ()))
