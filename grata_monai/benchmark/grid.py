# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The grid of a benchmark as data: sources x targets x methods x seeds x protocols."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from grata_monai._checks import check_choice, check_flag, check_number
from grata_monai.benchmark.names import (
    check_different,
    check_names,
    check_options,
    check_sources,
    file_name,
    shortened,
)

Protocol = Literal["grata", "vptta", "mixed", "episodic"]
PROTOCOLS: dict[str, str] = {
    "grata": "each target alone, from the source again for each; mean over targets",
    "vptta": "the targets one after the other, never back to the source; mean over images",
    "mixed": "the images of all targets shuffled, never back to the source; mean over images",
    "episodic": "each target alone, from the source again for each image; mean over targets",
}
"""The protocols and what each means."""
JOINT_PROTOCOLS = ("vptta", "mixed")
"""Protocols whose stream goes through all targets."""
_LONGEST_LABEL = 160


@dataclass(frozen=True)
class Method:
    """A method as a benchmark runs it.

    Args:
        name: Name in tables; unique in a grid.
        method: Id in ``grata_monai.adapters.ADAPTERS``.
        options: Arguments of the method, as JSON can hold them.
        rate_from: Name of another method of the grid. The learning rate ``beta`` becomes the mean
            of the rates that it used on the same stream (its ``trace_learning_rate``).
    """

    name: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    rate_from: str | None = None

    def __post_init__(self) -> None:
        """Check what a hand-written file may hold instead."""
        check_names("Method", "name", [self.name])
        check_names("Method", "method", [self.method])
        check_options(self.name, self.options)


@dataclass(frozen=True)
class Cell:
    """One method on one stream of images, from one source and with one seed.

    Args:
        id: Readable, the same whatever else is in the grid, and fit to be a folder's name.
        source: Name of the source model.
        stream: Name of the stream: its target, or its targets joined by "+".
        targets: The targets that the stream goes through.
        method: Name of the method in the grid.
        seed: Seed of the method, and of the order of a mixed stream.
        protocol: One of ``PROTOCOLS``.
    """

    id: str
    source: str
    stream: str
    targets: tuple[str, ...]
    method: str
    seed: int
    protocol: str


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What to run, without where the images lie. A source is never its own target.

    Args:
        methods: At least one, with different names.
        sources: Source models: name and weights. The name of a source that is also a target must
            be that target's, so that it can be left out there.
        targets: Domains to adapt to, in the order of the streams.
        name: Name of the grid, for a preset that of the preset.
        title: What it is for, for people.
        seeds: Non-negative numbers, each once.
        protocols: Some of ``PROTOCOLS``, each once.
        rounds: Passes over the stream of the protocols ``vptta`` and ``mixed``, >= 1.
        limit: At most so many images per target, evenly spread over its list; None: all.
        image_size: Side of the network's input in pixels.
        roi_size: Side of the region around the disc in pixels of the photograph, where the lists
            give the disc's center.
        diagnostics: Whether to compare gradients with those of the labels
            (``empirical_gradient``).

    Raises:
        ValueError: If names repeat or would give the same file names, a number is out of range, or
            a ``rate_from`` names no method with a rate of its own.
    """

    methods: tuple[Method, ...]
    sources: Mapping[str, str] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    name: str = "custom"
    title: str = ""
    seeds: tuple[int, ...] = (0,)
    protocols: tuple[str, ...] = ("grata",)
    rounds: int = 1
    limit: int | None = None
    image_size: int = 512
    roi_size: int = 800
    diagnostics: bool = False

    def __post_init__(self) -> None:
        """Check names and numbers."""
        check_names("Grid", "protocols", self.protocols)
        check_names("Grid", "targets", self.targets)
        check_sources(self.sources)
        check_flag("Grid", "diagnostics", self.diagnostics)
        if not isinstance(self.seeds, tuple):
            raise ValueError(f"The 'seeds' parameter of Grid must be a list. Got {self.seeds!r}.")
        for protocol in self.protocols:
            check_choice("Grid", "protocols", protocol, PROTOCOLS)
        for seed in self.seeds:
            check_number("Grid", "seeds", seed, minimum=0, maximum=2**63 - 1, integer=True)
        check_number("Grid", "rounds", self.rounds, minimum=1, integer=True)
        check_number("Grid", "image_size", self.image_size, minimum=1, integer=True)
        check_number("Grid", "roi_size", self.roi_size, minimum=1, integer=True)
        if self.limit is not None:
            check_number("Grid", "limit", self.limit, minimum=1, integer=True)
        lists: dict[str, Iterable[object]] = {
            "methods": [method.name for method in self.methods],
            "seeds": self.seeds,
            "protocols": self.protocols,
            "sources": self.sources,
            "targets": self.targets,
        }
        for what, names in lists.items():
            check_different(what, [str(name) for name in names])
        if not self.methods:
            raise ValueError("The 'methods' parameter of Grid must name at least one method.")
        for method in self.methods:
            self._check_rate(method)

    def method(self, name: str) -> Method:
        """Return the method of that name.

        Raises:
            ValueError: If there is none.
        """
        by_name = {method.name: method for method in self.methods}
        check_choice("Grid", "methods", name, by_name)
        return by_name[name]

    def cells(self) -> list[Cell]:
        """Return all cells, in the order of the tables: protocol, source, stream, seed, method."""
        return [
            make_cell(protocol, source, targets, method.name, seed)
            for protocol in self.protocols
            for source in self.sources
            for targets in self._streams(protocol, source)
            for seed in self.seeds
            for method in self.methods
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the grid as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Grid:
        """Return the grid that ``to_dict`` gave, or one from a hand-written JSON file.

        Raises:
            ValueError: For a key that a grid or a method does not have, or a wrong value.
        """
        known = {key: _frozen(value) for key, value in data.items()}
        for key in known:
            check_choice("Grid", "keys", key, [f.name for f in fields(cls)])
        methods = known.get("methods", ())
        if not isinstance(methods, tuple) or not all(isinstance(m, Mapping) for m in methods):
            raise ValueError(
                "The 'methods' of a grid must be a list of {name, method, options, rate_from}."
            )
        try:
            known["methods"] = tuple(Method(**method) for method in methods)
        except TypeError as error:
            raise ValueError(f"A method of the grid is not understood: {error}.") from error
        return cls(**known)

    def _streams(self, protocol: str, source: str) -> list[tuple[str, ...]]:
        targets = tuple(target for target in self.targets if target != source)
        if protocol in JOINT_PROTOCOLS:
            return [targets] if targets else []
        return [(target,) for target in targets]

    def _check_rate(self, method: Method) -> None:
        if method.rate_from is None:
            return
        base = next((m for m in self.methods if m.name == method.rate_from), None)
        if base is None or base.rate_from is not None:
            raise ValueError(
                f"{method.name!r} takes its learning rate from {method.rate_from!r}, which must be "
                "a method of the grid that has its own. Add it, or leave this one out."
            )


def make_cell(protocol: str, source: str, targets: Sequence[str], method: str, seed: int) -> Cell:
    """Return a cell with its id.

    Args:
        protocol: One of ``PROTOCOLS``.
        source: Name of the source model.
        targets: The targets of the stream, in order.
        method: Name of the method.
        seed: The seed.

    Example:
        >>> make_cell("grata", "REFUGE", ["Drishti_GS"], "No Adapt", 0).id
        'grata__REFUGE__Drishti_GS__No_Adapt__s0'
    """
    stream = "+".join(targets)
    label = file_name(stream)
    if len(label) > _LONGEST_LABEL:
        label = f"{len(targets)}_targets_{hashlib.sha256(stream.encode()).hexdigest()[:8]}"
    parts = (protocol, file_name(source), label, file_name(method), f"s{seed}")
    return Cell(shortened("__".join(parts)), source, stream, tuple(targets), method, seed, protocol)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
