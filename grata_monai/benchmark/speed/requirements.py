# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Thresholds that a measurement must reach."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from grata_monai.benchmark.speed.rows import Row

_FORM = re.compile(r"(?P<method>[a-z_]+):(?P<path>[a-z0-9+-]+)(@(?P<size>\d+))?>=(?P<ratio>[\d.]+)")


@dataclass(frozen=True)
class Requirement:
    """A least ratio to the textbook form.

    Args:
        method: A method's id.
        path: A path's name.
        ratio: The least ratio.
        size: Side of the images in pixels; None for every size that was timed.
    """

    method: str
    path: str
    ratio: float
    size: int | None = None

    def __str__(self) -> str:
        where = "" if self.size is None else f"@{self.size}"
        return f"{self.method}:{self.path}{where}>={self.ratio:g}"

    def failures(self, rows: Sequence[Row]) -> list[str]:
        """Return a sentence for each row that does not reach it; one if no row tells."""
        found = [
            row
            for row in rows
            if (row.method, row.path) == (self.method, self.path)
            and self.size in {None, row.size}
            and row.ratio == row.ratio
        ]
        if not found:
            return [f"{self} is not met: no such ratio was measured."]
        return [
            f"{self} is not met: at {row.size} px the ratio is {row.ratio:.2f}."
            for row in found
            if row.ratio < self.ratio
        ]


def parse_requirement(text: str) -> Requirement:
    """Return the requirement that a text states.

    Args:
        text: METHOD:PATH>=RATIO or METHOD:PATH@SIZE>=RATIO.

    Raises:
        ValueError: If it does not read so.

    Example:
        >>> parse_requirement("grata:exact@512>=1.3").ratio
        1.3
    """
    found = _FORM.fullmatch(text.replace(" ", ""))
    try:
        if found is None:
            raise ValueError
        ratio = float(found["ratio"])
    except ValueError:
        raise ValueError(
            "A requirement must be METHOD:PATH>=RATIO or METHOD:PATH@SIZE>=RATIO, e.g. "
            f"grata:exact@512>=1.3. Got {text!r}."
        ) from None
    size = int(found["size"]) if found["size"] else None
    return Requirement(found["method"], found["path"], ratio, size)
