# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Which images train a source model and which test it, where no official list says so."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

Splits = dict[str, tuple[str, ...]]
"""Names by split: "train" and "test", or "" for a set without splits."""


def even_split(names: Sequence[str], tests: int) -> Splits:
    """Spread the test images evenly over the list, so that every part of it has its share.

    Args:
        names: All names in their order.
        tests: Number of test images.

    Example:
        >>> even_split(["a", "b", "c", "d", "e"], 2)
        {'train': ('a', 'b', 'd'), 'test': ('c', 'e')}
    """
    total = len(names)
    is_test = [(i + 1) * tests // total > i * tests // total for i in range(total)]
    return {
        "train": tuple(name for name, test in zip(names, is_test, strict=True) if not test),
        "test": tuple(name for name, test in zip(names, is_test, strict=True) if test),
    }


def listed_split(names: Sequence[str], file: str | os.PathLike[str]) -> Splits:
    """Take the test images from a text file: a name, or a path with it, per line.

    Args:
        names: All names in their order.
        file: The file; a line ``image,mask`` as in the authors' lists counts by its first column.

    Raises:
        ValueError: If the file names an image that is not among them, or none at all.
    """
    if not os.fspath(file):
        raise ValueError("The split 'file' needs a file with the names of the test images.")
    path = Path(file)
    known = {name.lower(): name for name in names}
    tests: set[str] = set()
    unknown = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8: {error}.") from error
    for number, line in enumerate(lines, 1):
        entry = line.split(",")[0].strip().strip('"').replace("\\", "/")
        if not entry or (number == 1 and entry.lower() in {"image", "name", "file"}):
            continue
        stem = PurePosixPath(entry).stem.lower()
        if stem in known:
            tests.add(known[stem])
        else:
            unknown.append(f"line {number}: {entry!r}")
    if unknown or not tests:
        reason = "; ".join(unknown[:5]) if unknown else "it lists no images"
        raise ValueError(
            f"{path} cannot be the list of test images: {reason}. It must have the name of one "
            f"image per line, such as {names[0]}."
        )
    return {
        "train": tuple(name for name in names if name not in tests),
        "test": tuple(name for name in names if name in tests),
    }
