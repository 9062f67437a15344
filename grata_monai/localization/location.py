# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Where an optic disc was found, how surely, and by what."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class DiscCandidate:
    """A place that looks like a disc.

    Args:
        row: Of its center, in pixels of the photograph.
        column: Of its center.
        diameter: In pixels of the photograph, as coarse as the scales that were tried.
        score: The higher the more like a disc; comparable within one photograph only.
    """

    row: float
    column: float
    diameter: float
    score: float


@dataclass(frozen=True)
class DiscLocation:
    """Where the optic disc of a photograph is.

    Args:
        row: Of its center, in pixels of the photograph.
        column: Of its center.
        confidence: From 0 to 1. A measure of how clear the case is, not a probability.
        method: Name of what found it.
        note: Why it may be wrong, for a person to read; often empty.
        candidates: The best places, best first, if the method compares places.
    """

    row: float
    column: float
    confidence: float
    method: str
    note: str = ""
    candidates: tuple[DiscCandidate, ...] = ()

    @property
    def center(self) -> tuple[float, float]:
        """``(row, column)``, as datalists and windows take it."""
        return self.row, self.column

    def inside(self, shape: tuple[int, ...]) -> DiscLocation:
        """Return the location moved into a photograph of that shape, if it is outside."""
        row = min(max(self.row, 0.0), shape[0] - 1.0)
        return replace(self, row=row, column=min(max(self.column, 0.0), shape[1] - 1.0))
