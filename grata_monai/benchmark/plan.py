# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""From a grid to what will run: images, source models and methods that exist."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import monai
import torch

import grata_monai
from grata_monai._files import sha256_of
from grata_monai.adapters import ADAPTERS
from grata_monai.benchmark.cells import CellTask
from grata_monai.benchmark.grid import Cell, Grid
from grata_monai.benchmark.methods import build_method
from grata_monai.benchmark.sources import needed_heads
from grata_monai.benchmark.streams import Domain, StreamImage, read_domain, stream_of
from grata_monai.networks import available_heads, read_weights

STRIDE = 32


@dataclass(frozen=True)
class Plan:
    """A grid whose parts were found.

    Args:
        grid: The grid.
        dataset_dir: Folder of the targets, in the authors' layout.
        device: Where to compute.
        hashes: SHA-256 of the weights by source.
        domains: Images by target.
    """

    grid: Grid
    dataset_dir: Path
    device: str
    hashes: Mapping[str, str]
    domains: Mapping[str, Domain]

    def stream(self, cell: Cell) -> list[tuple[int, StreamImage]]:
        """Return the images of a cell in order, each with its round."""
        images = {name: domain.images for name, domain in self.domains.items()}
        return stream_of(cell, images, rounds=self.grid.rounds)

    def task(self, cell: Cell, run: Path, *, pictures: bool) -> CellTask:
        """Return what a process needs to run a cell."""
        method = self.grid.method(cell.method)
        return CellTask(
            cell=cell,
            run=run,
            adapter=method.method,
            options=method.options,
            weights=str(self.grid.sources[cell.source]),
            stream=self.stream(cell),
            image_size=self.grid.image_size,
            roi_size=self.grid.roi_size,
            device=self.device,
            fingerprint=self.fingerprint(cell),
            pictures=pictures,
            diagnostics=self.grid.diagnostics,
        )

    def fingerprint(self, cell: Cell) -> dict[str, Any]:
        """Return all that a cell's numbers depend on, as JSON holds it."""
        method = self.grid.method(cell.method)
        names = [f"{number} {image.domain} {image.name}" for number, image in self.stream(cell)]
        found = {
            "method": method.method,
            "options": dict(method.options),
            "rate_from": method.rate_from,
            "source": self.hashes[cell.source],
            "images": hashlib.sha256("\n".join(names).encode()).hexdigest(),
            "image_size": self.grid.image_size,
            "roi_size": self.grid.roi_size,
            "device": torch.device(self.device).type,
            "diagnostics": self.grid.diagnostics,
        }
        return dict(json.loads(json.dumps(found)))

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plan.json holds it."""
        grid = self.grid.to_dict()
        grid["sources"] = {
            name: {"weights": str(Path(weights).absolute()), "sha256": self.hashes[name]}
            for name, weights in self.grid.sources.items()
        }
        return {
            **grid,
            "dataset_dir": str(self.dataset_dir),
            "device": self.device,
            "versions": versions(),
            "cells": [asdict(cell) for cell in self.grid.cells()],
        }


def make_plan(grid: Grid, dataset_dir: str | Path, *, device: str | None = None) -> Plan:
    """Check everything that can be checked before the first image, and find the images.

    Args:
        grid: The grid, with sources and targets.
        dataset_dir: Folder of the targets, in the authors' layout.
        device: Where to compute; None: the GPU if there is one.

    Raises:
        FileNotFoundError: If weights, a list or a listed file are missing.
        ValueError: If a method is not known or an option wrong, the size does not fit the network,
            the device cannot be used, weights are no source model, a target has no masks, or
            nothing is left to run.
    """
    _check_methods(grid)
    if grid.image_size % STRIDE or grid.image_size < 2 * STRIDE:
        raise ValueError(
            f"The 'image_size' must be a multiple of {STRIDE}, at least {2 * STRIDE}. "
            f"Got {grid.image_size}."
        )
    if not grid.sources:
        raise ValueError("There is no source model; give --source NAME=FILE.")
    if not grid.cells():
        raise ValueError(
            "There is nothing to run: the targets are missing, or each is its own source. Got the "
            f"sources {', '.join(grid.sources)} and the targets {', '.join(grid.targets) or '-'}."
        )
    hashes = {}
    for name, weights in grid.sources.items():
        if not Path(weights).is_file():
            raise FileNotFoundError(f"There are no weights {weights}; give --source NAME=FILE.")
        hashes[name] = sha256_of(weights)
        read_weights(weights)
    wanted = {target for cell in grid.cells() for target in cell.targets}
    domains = {
        target: read_domain(dataset_dir, target, limit=grid.limit)
        for target in grid.targets
        if target in wanted
    }
    root = Path(dataset_dir).expanduser().absolute()
    return Plan(grid, root, usable_device(device), hashes, domains)


def lacking_heads(plan: Plan) -> list[str]:
    """Return one line per source and method that cannot work together for want of heads.

    Args:
        plan: The plan.
    """
    lines = []
    for source, weights in plan.grid.sources.items():
        there = available_heads(weights)
        for method in plan.grid.methods:
            adapter = build_method(method.method, method.options, seed=0, protocol="grata")
            lacking = [head for head in needed_heads(adapter) if head not in there]
            if lacking:
                lines.append(f"{source} lacks the heads of {method.name}: {', '.join(lacking)}")
    return lines


def usable_device(device: str | None) -> str:
    """Return the device to compute on.

    Args:
        device: E.g. ``"cpu"`` or ``"cuda:1"``; None: the GPU if there is one.

    Raises:
        ValueError: If it cannot be used.
    """
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name)
    except (AssertionError, RuntimeError) as error:  # torch raises either where there is no GPU
        reason = str(error).splitlines()[0]
        raise ValueError(f"The device {name!r} cannot be used: {reason}") from error
    return name


def versions() -> dict[str, str]:
    """Return the versions that numbers may depend on."""
    return {
        "grata_monai": grata_monai.__version__,
        "torch": torch.__version__,
        "monai": monai.__version__,
        "python": platform.python_version(),
    }


def _check_methods(grid: Grid) -> None:
    unknown = sorted({m.method for m in grid.methods} - set(ADAPTERS))
    if unknown:
        names = [m.name for m in grid.methods if m.method in unknown]
        raise ValueError(
            f"There are no methods with the ids {', '.join(unknown)} (needed by "
            f"{', '.join(names)}). There are: {', '.join(sorted(ADAPTERS))}. Leave those out with "
            "--methods."
        )
    for method in grid.methods:
        for protocol in grid.protocols:
            try:
                build_method(method.method, method.options, seed=0, protocol=protocol)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{method.name}: {error}") from error
