# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Names in a grid: what they may be, and as file names. No torch."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping

LONGEST_NAME = 200
"""Of a file or folder in bytes, without extension; file systems take 255."""


def file_name(name: str) -> str:
    """Return a name with everything that not every file system takes replaced by "_".

    Example:
        >>> file_name("ent / θ - ∇con")
        'ent_-_con'
    """
    return re.sub(r"[^A-Za-z0-9.+()-]+", "_", name).strip("_.") or "_"


def shortened(name: str) -> str:
    """Return a file name, or its beginning and a hash of it if it is too long.

    Example:
        >>> shortened("a"), len(shortened("ä" * 300).encode()) <= LONGEST_NAME
        ('a', True)
    """
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:8]
    beginning = encoded[: LONGEST_NAME - len(digest) - 2].decode(errors="ignore")
    return f"{beginning}__{digest}"


def check_different(what: str, names: list[str]) -> None:
    """Check that names differ, also as file names on systems that ignore upper and lower case.

    Raises:
        ValueError: If two do not.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(file_name(name).casefold(), name)
        if other is not name:
            raise ValueError(
                f"The {what!r} of Grid must differ, also as file names. Got {other!r} and {name!r}."
            )


def check_names(owner: str, what: str, names: object) -> None:
    """Check that a parameter is a list of names that are not empty.

    Raises:
        ValueError: If it is not.
    """
    if isinstance(names, list | tuple) and all(isinstance(n, str) and n.strip() for n in names):
        return
    raise ValueError(
        f"The {what!r} parameter of {owner} must hold text that is not empty. Got {names!r}."
    )


def check_sources(sources: object) -> None:
    """Check that source models are given as names and weights.

    Raises:
        ValueError: If they are not.
    """
    if isinstance(sources, Mapping):
        check_names("Grid", "sources", list(sources))
        if all(isinstance(weights, str | os.PathLike) for weights in sources.values()):
            return
    raise ValueError(
        "The 'sources' parameter of Grid must be an object of names and files of weights, such as "
        f'{{"REFUGE": "model.pt"}}. Got {sources!r}.'
    )


def check_options(method: str, options: object) -> None:
    """Check that a method's options are named and leave the seed to the grid.

    Raises:
        ValueError: If they are not.
    """
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise ValueError(
            f"The 'options' of the method {method!r} must be an object of names and values. "
            f"Got {options!r}."
        )
    if "seed" in options:
        raise ValueError(
            f"The 'options' of the method {method!r} must not hold a 'seed'; seeds are those of "
            "the grid."
        )
