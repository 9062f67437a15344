# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What is to be measured, checked before anything is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from grata_monai._checks import check_choice, check_number
from grata_monai.adapters.registry import ADAPTERS
from grata_monai.benchmark.speed.paths import TEXTBOOK, Path, parse_path
from grata_monai.benchmark.speed.requirements import Requirement, parse_requirement

ALL = "all"
_OWNER = "benchmark speed"
_STRIDE = 32
_LARGEST = 4096


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be measured.

    Args:
        methods: Ids of methods, or ``"all"``.
        paths: Names of paths, see ``PATH_WORDS``.
        sizes: Sides of the images in pixels.
        repeats: Timed steps of each path, at least 1.
        warmup: Steps before them, which also show memory and differences, at least 1.
        seed: Of images, network, methods and the order within the rounds.
        stages: Whether to measure shares of stages (one more step for each path).
        device: Where to run; None for a graphics card if there is one.
        images: Data set to read images from; None for synthetic ones.
        domain: Of a data set with several.
        roi_size: Side of the region around the disc in pixels of the photograph.
        weights: Source model; None for a random one.
        requirements: Ratios to reach, as ``parse_requirement`` reads them.

    Raises:
        ValueError: If something in it is unknown, out of range or contradictory.
    """

    methods: Sequence[str] = ("grata",)
    paths: Sequence[str] = (TEXTBOOK, "exact", "fast")
    sizes: Sequence[int] = (256,)
    repeats: int = 3
    warmup: int = 1
    seed: int = 0
    stages: bool = True
    device: str | None = None
    images: str | os.PathLike[str] | None = None
    domain: str | None = None
    roi_size: int = 800
    weights: str | os.PathLike[str] | None = None
    requirements: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check all of it."""
        for name, values in (("methods", self.methods), ("sizes", self.sizes)):
            if not values:
                raise ValueError(f"The {name!r} of {_OWNER} name nothing.")
        for method in self.methods:
            check_choice(_OWNER, "methods", method, (*ADAPTERS, ALL))
        for size in self.sizes:
            check_number(_OWNER, "sizes", size, minimum=_STRIDE, maximum=_LARGEST, integer=True)
            if size % _STRIDE:
                raise ValueError(f"The 'sizes' of {_OWNER} must be multiples of 32. Got {size}.")
        for name, least in (("repeats", 1), ("warmup", 1), ("seed", 0), ("roi_size", 1)):
            check_number(_OWNER, name, getattr(self, name), minimum=least, integer=True)
        if not self.parsed_paths:
            raise ValueError(f"The 'paths' of {_OWNER} name nothing.")
        for requirement in self.parsed_requirements:
            self._check_requirement(requirement)

    @property
    def method_names(self) -> tuple[str, ...]:
        """The methods, each once."""
        named = ADAPTERS if ALL in self.methods else self.methods
        return tuple(dict.fromkeys(named))

    @property
    def parsed_paths(self) -> tuple[Path, ...]:
        """The paths, each once."""
        return tuple(parse_path(name) for name in dict.fromkeys(self.paths))

    @property
    def parsed_requirements(self) -> tuple[Requirement, ...]:
        """The ratios to reach."""
        return tuple(map(parse_requirement, self.requirements))

    def _check_requirement(self, requirement: Requirement) -> None:
        """Check that what a requirement speaks of is measured."""
        check_choice(_OWNER, "require", requirement.method, self.method_names)
        check_choice(_OWNER, "require", requirement.path, self.paths)
        if TEXTBOOK not in self.paths:
            raise ValueError(
                f"A ratio needs the path {TEXTBOOK!r} among the paths of {_OWNER}. "
                f"Got {', '.join(self.paths)}."
            )
        if requirement.size is not None and requirement.size not in self.sizes:
            raise ValueError(
                f"The requirement {requirement} speaks of {requirement.size} px, but the sizes of "
                f"{_OWNER} are {', '.join(map(str, self.sizes))}."
            )
