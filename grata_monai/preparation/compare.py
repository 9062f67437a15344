# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Compare two prepared folders eye by eye, whatever their framing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from grata_monai.preparation.folder import ListedImage, PreparedFolder, read_folder
from grata_monai.preparation.pairing import (
    ANOTHER_PICTURE,
    OK,
    ONE_MASK,
    UNREADABLE,
    Pair,
    Side,
    compare_pair,
    eye_key,
    native_sizes,
)
from grata_monai.preparation.parallel import parallel_map
from grata_monai.preparation.problems import Problem

COLUMNS = (
    "domain",
    "eye",
    "status",
    "disc_dice",
    "cup_dice",
    "shift_rows",
    "shift_cols",
    "shift",
    "grey_difference",
    "correlation",
    "common_height",
    "common_width",
    "first",
    "second",
    "detail",
)
_CURES = {
    ANOTHER_PICTURE: "Look at both; if the scales differ give --roi-size and --other-roi-size.",
    ONE_MASK: "Add the other mask.",
    UNREADABLE: "See `grata-monai data verify`.",
}


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare_folders` has found.

    Args:
        rows: One row per pair: Dice of disc and cup in the common window, shift between the
            centers of the two crops and grey difference, in pixels and grey levels of the
            photograph; NaN where a pair could not be compared.
        unmatched: By domain, the eyes that only the first and only the second folder has.
        notes: What was assumed.
    """

    rows: pd.DataFrame
    unmatched: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    notes: tuple[str, ...] = ()

    def table(self) -> pd.DataFrame:
        """Return one row per domain."""
        return pd.DataFrame(
            [
                self._row(domain, self.rows[self.rows["domain"] == domain])
                for domain in self.unmatched
            ]
        )

    def problems(
        self, *, min_dice: float = 0.99, max_shift: float | None = None
    ) -> Iterator[Problem]:
        """Yield the pairs that do not agree, or that could not be compared.

        Args:
            min_dice: The smallest Dice of disc and of cup that passes.
            max_shift: The largest shift that passes; None: any.
        """
        for row in self.rows.to_dict("records"):
            name, status = f"{row['domain']}: {row['eye']}", str(row["status"])
            if status in _CURES:
                yield Problem(name, status, _CURES[status], str(row["detail"]))
                continue
            if status == OK and min(row["disc_dice"], row["cup_dice"]) < min_dice:
                detail = f"disc {row['disc_dice']:.4f}, cup {row['cup_dice']:.4f}"
                what, cure = f"a Dice is below {min_dice:g}", "Look at both masks."
                yield Problem(name, what, cure, detail)
            if max_shift is not None and row["shift"] > max_shift:
                detail = f"{row['shift_rows']:+.0f} rows, {row['shift_cols']:+.0f} columns"
                what = f"the framing is shifted by more than {max_shift:g} pixels"
                yield Problem(name, what, "Look at how both were centered.", detail)

    def _row(self, domain: str, rows: pd.DataFrame) -> dict[str, Any]:
        first, second = self.unmatched[domain]
        return {
            "domain": domain,
            "pairs": len(rows),
            "compared": int((rows["status"] == OK).sum()),
            "only_first": len(first),
            "only_second": len(second),
            "disc_mean": rows["disc_dice"].mean(),
            "disc_min": rows["disc_dice"].min(),
            "cup_mean": rows["cup_dice"].mean(),
            "cup_min": rows["cup_dice"].min(),
            "shift_median": rows["shift"].median(),
            "shift_max": rows["shift"].max(),
            "grey_difference": rows["grey_difference"].mean(),
        }


def compare_folders(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    *,
    domains: Sequence[str] | None = None,
    roi_size: int | None = None,
    other_roi_size: int | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> Comparison:
    """Compare the images and masks that two folders in the authors' layout have of the same eyes.

    Both are brought to the pixels of the photograph, aligned, and compared where they overlap.
    Images of one domain belong together if their names do (:func:`eye_key`), in any split.

    Args:
        first: Folder in the authors' layout.
        second: Another one.
        domains: Names of domains; by default all that both have.
        roi_size: Longer side of the first folder's regions in pixels of the photographs. By
            default as its ``roi.csv`` says; without one, stored pixels are those of the photograph.
        other_roi_size: Likewise for the second folder.
        jobs: Processes; None: as many as there are cores.
        progress: Whether to show a progress bar.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If a folder has no lists, or they have no domain or no eye in common.
    """
    folders = read_folder(first), read_folder(second)
    names = _common_domains(folders, domains)
    pairs: list[Pair] = []
    unmatched: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    notes: list[str] = []
    for domain in names:
        left, right = (
            _sides(folder, domain, size, notes)
            for folder, size in zip(folders, (roi_size, other_roi_size), strict=True)
        )
        pairs += [Pair(key, side, right[key]) for key, side in left.items() if key in right]
        unmatched[domain] = (
            tuple(key for key in left if key not in right),
            tuple(key for key in right if key not in left),
        )
    if not pairs:
        raise ValueError(
            f"{first} and {second} have no eye in common in {', '.join(names)}: eyes are matched "
            "by the names of the images. Compare folders that name them alike."
        )
    found = dict(parallel_map(compare_pair, pairs, jobs=jobs, label="compare", progress=progress))
    rows = pd.DataFrame([found[index] for index in sorted(found)])
    assumed = {(row["domain"], root): None for row in found.values() for root in row["assumed"]}
    notes += [
        f"{domain}: nothing says how large the regions in {root} are in the photographs, so a "
        "stored pixel is taken for one of the photograph. Give --roi-size (of the first folder) "
        "or --other-roi-size if not."
        for domain, root in assumed
    ]
    return Comparison(rows.reindex(columns=list(COLUMNS)), unmatched, tuple(notes))


def _common_domains(
    folders: tuple[PreparedFolder, PreparedFolder], domains: Sequence[str] | None
) -> list[str]:
    one, other = folders
    if domains:
        return list(one.only(domains).only(list(other.only(domains).images)).images)
    common = [domain for domain in one.images if domain in other.images]
    if not common:
        raise ValueError(
            f"The folders have no domain in common: {one.root} has {', '.join(one.images)}; "
            f"{other.root} has {', '.join(other.images)}. Domains are matched by name."
        )
    return common


def _sides(
    folder: PreparedFolder, domain: str, longer: int | None, notes: list[str]
) -> dict[str, Side]:
    """Return the images of a domain by eye."""
    native = native_sizes(folder.root, domain) if longer is None else {}
    sides: dict[str, Side] = {}
    for image in folder.images[domain]:
        if not image.image:
            continue
        key = eye_key(image)
        if key in sides:
            notes.append(_twice(folder, sides[key].image, image))
            continue
        path = image.image.replace("\\", "/")
        sides[key] = Side(image=image, native=native.get(path), longer=longer)
    return sides


def _twice(folder: PreparedFolder, kept: ListedImage, left_out: ListedImage) -> str:
    return (
        f"{folder.root} has two images of one name, {kept.image} and {left_out.image}; only the "
        "first is compared."
    )
