# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""From what a user asks for to a grid: a preset or a file, and changes to it. No torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from grata_monai._checks import check_choice
from grata_monai.benchmark.grid import Grid
from grata_monai.benchmark.presets import preset as preset_grid
from grata_monai.benchmark.run_folder import read_json, write_json
from grata_monai.data import listed_domains


def requested_grid(
    dataset_dir: str | os.PathLike[str],
    *,
    preset: str | None = None,
    grid: str | os.PathLike[str] | None = None,
    sources: Mapping[str, str | os.PathLike[str]] | None = None,
    targets: Sequence[str] = (),
    methods: Sequence[str] = (),
    **changes: Any,
) -> Grid:
    """Return the grid of a preset or file with changes.

    Args:
        dataset_dir: Folder in the authors' layout.
        preset: Name of a preset.
        grid: JSON file with the keys of ``Grid``; give this or a preset.
        sources: Source models, name and weights, instead of those of the file.
        targets: Targets instead of those of the file; by default all domains of the folder.
        methods: Names of the methods to keep; by default all.
        changes: Other arguments of ``Grid``; None and empty ones change nothing.

    Raises:
        FileNotFoundError: If the file or the folder is missing.
        ValueError: If both or none of preset and file are given, or something in them is wrong.
    """
    if (preset is None) is (grid is None):
        raise ValueError("Give either a preset (--preset) or a grid file (--grid).")
    base = preset_grid(preset) if preset is not None else read_grid(grid or "")
    kept = base.methods
    if methods:
        for name in methods:
            check_choice(base.name, "methods", name, [method.name for method in base.methods])
        kept = tuple(method for method in base.methods if method.name in methods)
    found = {key: value for key, value in changes.items() if value is not None and value != ()}
    for key in ("seeds", "protocols"):
        if key in found:
            found[key] = tuple(dict.fromkeys(found[key]))
    if sources:
        found["sources"] = {
            name: str(Path(weights).expanduser()) for name, weights in sources.items()
        }
    found["targets"] = tuple(targets) or base.targets or _all_domains(dataset_dir)
    return replace(base, methods=kept, **found)


def read_grid(path: str | os.PathLike[str]) -> Grid:
    """Return the grid of a JSON file.

    Args:
        path: File with an object that has the keys of ``Grid``; weights in ``sources`` are
            relative to its folder.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no grid.
    """
    file = Path(path)
    content = read_json(file)
    if content is None:
        raise FileNotFoundError(f"There is no grid file {file}.")
    try:
        grid = Grid.from_dict(content)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error
    sources = {
        name: str(file.parent / Path(weights).expanduser())
        for name, weights in grid.sources.items()
    }
    return replace(grid, sources=sources)


def write_grid(grid: Grid, path: str | os.PathLike[str]) -> None:
    """Write a grid as a JSON file, which ``read_grid`` reads; paths of weights become absolute.

    Args:
        grid: The grid.
        path: File to write; replaced if it exists.
    """
    sources = {name: str(Path(weights).absolute()) for name, weights in grid.sources.items()}
    write_json(Path(path), replace(grid, sources=sources).to_dict())


def _all_domains(dataset_dir: str | os.PathLike[str]) -> tuple[str, ...]:
    root = Path(dataset_dir).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}; give --data with the images.")
    found = tuple(listed_domains(root))
    if not found:
        raise ValueError(
            f"{root} has no lists of domains (NAME_train.csv and NAME_test.csv, or NAME.csv); "
            "give the root folder of the authors' layout."
        )
    return found
