# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of one version of a model: its name, writing it, reading it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from grata_monai._files import sha256_of
from grata_monai.data.json_files import parse_json
from grata_monai.networks import convert_weights, match_weights, read_weights, source_network

WEIGHTS, INFO = "model.pt", "version.json"
_NAME = re.compile(r"v([0-9]{4,})")
_TEXTS = ("created", "kind", "sha256", "note")


@dataclass(frozen=True)
class ModelVersion:
    """One version of the model.

    Args:
        name: ``v0001`` and so on.
        weights: Its file, in this package's format.
        info: When it was ``created`` (UTC), its ``kind``, the ``parent`` that it was made from (or
            None), ``sha256`` and ``bytes`` of the file, a ``note``, and what its maker added.
    """

    name: str
    weights: Path
    info: Mapping[str, Any]


def version_name(number: int) -> str:
    """Return the name of a version."""
    return f"v{number:04d}"


def version_number(name: object) -> int | None:
    """Return the number in a name, or None if this is not exactly how a name is written."""
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    number = int(found[1]) if found else 0
    return number if number > 0 and name == version_name(number) else None


def is_complete(folder: Path) -> bool:
    """Tell whether a version's folder has all of its files."""
    return all((folder / file).is_file() for file in (WEIGHTS, INFO))


def check_whole(weights: str | os.PathLike[str]) -> None:
    """Check that a file is a source model, with its decoder.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is none.
    """
    source = read_weights(weights)
    with torch.device("meta"):
        template = source_network(heads=source.heads)
    report = match_weights(template, source)
    if report.missing:
        raise ValueError(
            f"{weights} is no source model: it lacks {report.summary('missing')}. An ImageNet "
            "encoder only serves to start a training (grata-monai train --encoder-weights)."
        )


def write_version(folder: Path, weights: str | os.PathLike[str], facts: Mapping[str, Any]) -> None:
    """Make a version's folder with its two files."""
    folder.mkdir()
    copy = folder / WEIGHTS
    convert_weights(weights, copy)
    info = {**facts, "sha256": sha256_of(copy), "bytes": copy.stat().st_size}
    text = json.dumps(info, indent=2, ensure_ascii=False) + "\n"
    (folder / INFO).write_text(text, encoding="utf-8")


def read_version(folder: Path) -> ModelVersion:
    """Return the version in a complete folder, without reading its weights.

    Raises:
        ValueError: If it is damaged; the message names the file.
    """
    file, weights = folder / INFO, folder / WEIGHTS
    info = _read_info(file)
    size = weights.stat().st_size
    if size != info["bytes"]:
        raise ValueError(
            f"{weights} is damaged: it has {size} bytes instead of {info['bytes']}. Restore it, or "
            "use another version."
        )
    return ModelVersion(folder.name, weights, info)


def _read_info(file: Path) -> dict[str, Any]:
    try:
        info = parse_json(file.read_text(encoding="utf-8"))
        good = (
            isinstance(info, dict)
            and all(isinstance(info[key], str) for key in _TEXTS)
            and isinstance(info["bytes"], int)
            and (info["parent"] is None or version_number(info["parent"]) is not None)
        )
    except (KeyError, ValueError):  # bytes that are no text or no JSON are ValueErrors
        good = False
    if not good:
        raise ValueError(
            f"{file} is damaged. Restore it, or move its folder away and use another version."
        )
    return info  # type: ignore[no-any-return]
