# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What a benchmark was asked to do, read from its ``plan.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grata_monai.data.json_files import parse_json

SOURCE_ADAPTER = "source"
"""Registry name of the method that does not adapt: what all others are compared with."""


@dataclass(frozen=True)
class Method:
    """A row of the paper's tables: a name, the method behind it and its options."""

    name: str
    adapter: str
    options: Mapping[str, object]


@dataclass(frozen=True)
class Plan:
    """The parts of a plan that a report shows.

    Args:
        name: Of the preset.
        title: One line.
        sources: Names of the source models, in the plan's order.
        targets: Names of the domains adapted to.
        methods: In the order in which tables show them.
        seeds: Of the random views.
        protocols: ``grata``, ``vptta``, ``mixed``, ``episodic``.
        rounds: Passes over a stream.
        image_size: Side of the network's input in px; distances are in these px.
        device: What it ran on.
        versions: Of the packages that matter.
        cells: Ids of the planned cells.
    """

    name: str
    title: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    methods: tuple[Method, ...]
    seeds: tuple[int, ...]
    protocols: tuple[str, ...]
    rounds: int
    image_size: int
    device: str
    versions: Mapping[str, str]
    cells: tuple[str, ...]

    @property
    def baseline(self) -> str | None:
        """Name of the method that does not adapt, if the plan has one."""
        return next((m.name for m in self.methods if m.adapter == SOURCE_ADAPTER), None)


def read_plan(folder: Path) -> Plan:
    """Read the plan of a run.

    Args:
        folder: The run.

    Raises:
        FileNotFoundError: If there is no such folder or it has no plan.
        ValueError: If the plan is not one.
    """
    path = folder / "plan.json"
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} has no plan.json; give the folder that 'grata-monai benchmark run' wrote."
        )
    try:
        return _plan(parse_json(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} is not a plan of a benchmark: {error!r}.") from error


def _plan(found: dict[str, Any]) -> Plan:
    return Plan(
        name=str(found["name"]),
        title=str(found.get("title") or found["name"]),
        sources=tuple(map(str, found["sources"])),
        targets=tuple(map(str, found["targets"])),
        methods=tuple(
            Method(str(m["name"]), str(m["method"]), dict(m.get("options") or {}))
            for m in found["methods"]
        ),
        seeds=tuple(map(int, found["seeds"])),
        protocols=tuple(map(str, found["protocols"])),
        rounds=int(found.get("rounds", 1)),
        image_size=int(found["image_size"]),
        device=str(found.get("device", "")),
        versions={str(k): str(v) for k, v in dict(found.get("versions") or {}).items()},
        cells=tuple(str(cell["id"]) for cell in found["cells"]),
    )
