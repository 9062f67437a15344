# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Rows as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from grata_monai.benchmark.speed.rows import Row

STAGES = (
    "entropy",
    "weak views",
    "strong view",
    "forward",
    "forward without gradient",
    "backward",
    "prediction",
    "augmentation",
    "I/O",
    "rest",
)
"""In the order in which they are printed."""
_NOTHING = "-"


def time_table(rows: Sequence[Row]) -> str:
    """Return times, ratios, memory and differences; "" if there is nothing to tell.

    Args:
        rows: What was measured; a row without times is shown if it has a note.
    """
    head = ["method", "px", "path", "s/image", "least..most", "ratio", "(in a round)"]
    head += ["MiB", "max |dp|", "of peak", ""]
    body = [
        [
            row.method,
            str(row.size),
            row.path,
            _number(row.median, ".3f"),
            _between(min(row.seconds), max(row.seconds), ".3f") if row.seconds else _NOTHING,
            _number(row.ratio, ".2f"),
            _between(*row.ratio_range, ".2f"),
            _number(row.memory_mib, ".0f"),
            _number(row.probability_difference, ".1e"),
            _number(row.peak_share, ".0%"),
            "; ".join(part for part in ("SLOWER" if row.slower else "", row.note) if part),
        ]
        for row in rows
        if row.seconds or row.note
    ]
    return _aligned([head, *body], left={0, 2, len(head) - 1}) if body else ""


def stage_table(rows: Sequence[Row]) -> str:
    """Return the share of each stage in percent; "" if none was measured.

    Args:
        rows: What was measured.
    """
    measured = [row for row in rows if row.stages]
    known = [name for name in STAGES if any(name in row.stages for row in measured)]
    if not measured:
        return ""
    body = [
        [
            row.method,
            str(row.size),
            row.path,
            *(_number(row.stage_shares.get(name, math.nan), ".1%") for name in known),
        ]
        for row in measured
    ]
    return _aligned([["method", "px", "path", *known], *body], left={0, 2})


def _number(value: float, form: str) -> str:
    return _NOTHING if math.isnan(value) else format(value, form)


def _between(low: float, high: float, form: str) -> str:
    return _NOTHING if math.isnan(low) else f"{low:{form}}..{high:{form}}"


def _aligned(cells: Sequence[Sequence[str]], *, left: set[int]) -> str:
    """Return lines with columns of equal width."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )
