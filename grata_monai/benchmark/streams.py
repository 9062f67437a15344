# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Which images a cell goes through, and in which order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grata_monai.benchmark.grid import JOINT_PROTOCOLS, Cell
from grata_monai.benchmark.names import shortened
from grata_monai.data import FundusItem, fundus_datalist, has_labels, usable_items


@dataclass(frozen=True)
class StreamImage:
    """One image of a target.

    Args:
        domain: The target.
        name: Path relative to the data set's folder.
        stem: Name for results; unique in the domain.
        item: Where image, mask and disc are.
    """

    domain: str
    name: str
    stem: str
    item: FundusItem


@dataclass(frozen=True)
class Domain:
    """The images of a target.

    Args:
        images: Those to run on, in the order of the lists.
        skipped: Those that cannot be used, and why.
    """

    images: tuple[StreamImage, ...]
    skipped: Mapping[str, str]


def read_domain(
    dataset_dir: str | os.PathLike[str], domain: str, *, limit: int | None = None
) -> Domain:
    """List the images of a target; every one must have a mask.

    Images that cannot be used are left out (``grata_monai.data.usable_items``).

    Args:
        dataset_dir: Folder in the authors' layout.
        domain: The target.
        limit: At most so many of the usable images, evenly spread.

    Raises:
        FileNotFoundError: If a list or a listed file is missing.
        ValueError: If there is no such domain, or a mask is missing.
    """
    root = Path(dataset_dir).expanduser().absolute()
    usable, skipped = usable_items(fundus_datalist(root, domain=domain, check=False))
    if not has_labels(usable):
        raise ValueError(
            f"Not every image of {domain} in {root} has a mask; a benchmark needs them to score."
        )
    stems = _stems([_relative(item["image"], root) for item in usable])
    images = [
        StreamImage(domain, _relative(item["image"], root), stem, item)
        for item, stem in zip(usable, stems, strict=True)
    ]
    chosen = evenly_spread(len(images), limit)
    reasons = {_relative(image, root): reason for image, reason in skipped.items()}
    return Domain(tuple(images[index] for index in chosen), reasons)


def evenly_spread(count: int, limit: int | None) -> list[int]:
    """Return at most ``limit`` of the numbers 0..count-1, the first and the last among them.

    Example:
        >>> evenly_spread(9, 3)
        [0, 4, 8]
    """
    if limit is None or limit >= count:
        return list(range(count))
    return [int(index) for index in np.linspace(0, count - 1, limit).round()]


def stream_of(
    cell: Cell, domains: Mapping[str, Sequence[StreamImage]], *, rounds: int = 1
) -> list[tuple[int, StreamImage]]:
    """Return the images of a cell in order, each with its round (from 1).

    Args:
        cell: The cell.
        domains: Images by target.
        rounds: Passes over joint streams; a mixed stream is shuffled anew for each.
    """
    images = [image for target in cell.targets for image in domains[target]]
    if cell.protocol not in JOINT_PROTOCOLS:
        return [(1, image) for image in images]
    generator = np.random.default_rng(cell.seed)
    stream: list[tuple[int, StreamImage]] = []
    for number in range(1, rounds + 1):
        order = list(range(len(images)))
        if cell.protocol == "mixed":
            order = [int(index) for index in generator.permutation(len(images))]
        stream += [(number, images[index]) for index in order]
    return stream


def _relative(path: str, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _stems(names: Sequence[str]) -> list[str]:
    """Return the file names without extension, with their folders where they would repeat.

    Names that are too long for a file of results are cut.
    """
    short = [Path(name).stem for name in names]
    counts = Counter(stem.casefold() for stem in short)
    long = [Path(name).with_suffix("").as_posix().replace("/", "__") for name in names]
    chosen = [
        stem if counts[stem.casefold()] == 1 else path
        for stem, path in zip(short, long, strict=True)
    ]
    repeated = [stem for stem, count in Counter(map(str.casefold, chosen)).items() if count > 1]
    if repeated:
        raise ValueError(
            f"Images called {repeated[0]} differ in nothing but extension or case, or are listed "
            "twice; their results would overwrite each other. Rename all but one."
        )
    return [shortened(stem) for stem in chosen]
