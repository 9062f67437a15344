# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What was measured of one method, at one size, on one path."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import Any

NOISE = 0.02
"""A path counts as slower only if it is so by more than this share."""


@dataclass
class Row:
    """What was measured of one method, at one size, on one path.

    Args:
        method: Its id.
        size: Side of the images in pixels.
        path: The path's name.
        seconds: Per image, one number for each repetition.
        baseline: The same of the textbook form in the same rounds; empty if there is none.
        memory_mib: The most above the idle process during one step.
        logit_difference: The largest from the textbook's logits.
        probability_difference: The largest from the textbook's probabilities.
        operations: Floating-point operations per image.
        peak: Operations per second that a matrix product reaches in that precision.
        stages: Seconds by stage, from a repetition of its own.
        note: What to know about it, e.g. why there are no numbers.
        failed: Whether it should have run and did not; the note then says why.
    """

    method: str
    size: int
    path: str
    seconds: list[float] = field(default_factory=list)
    baseline: list[float] = field(default_factory=list)
    memory_mib: float = math.nan
    logit_difference: float = math.nan
    probability_difference: float = math.nan
    operations: float = math.nan
    peak: float = math.nan
    stages: dict[str, float] = field(default_factory=dict)
    note: str = ""
    failed: bool = False

    @property
    def median(self) -> float:
        """Median of the seconds; NaN without any."""
        return statistics.median(self.seconds) if self.seconds else math.nan

    @property
    def ratio(self) -> float:
        """How many times as fast as the textbook form, by medians; NaN without one."""
        if not (self.seconds and self.baseline):
            return math.nan
        return statistics.median(self.baseline) / self.median

    @property
    def ratio_range(self) -> tuple[float, float]:
        """The least and the most of the ratios within one round."""
        pairs = list(zip(self.baseline, self.seconds, strict=False))
        ratios = [slow / fast for slow, fast in pairs] or [math.nan]
        return min(ratios), max(ratios)

    @property
    def slower(self) -> bool:
        """Whether it is slower than the textbook form."""
        return self.ratio < 1.0 - NOISE

    @property
    def peak_share(self) -> float:
        """Share of the peak operations per second that it reaches, 0 to 1."""
        return self.operations / self.median / self.peak

    @property
    def stage_shares(self) -> dict[str, float]:
        """Share of each stage; they add up to 1."""
        whole = sum(self.stages.values())
        return {name: seconds / whole for name, seconds in self.stages.items()} if whole else {}

    def as_dict(self) -> dict[str, Any]:
        """Return its numbers by name, those that are missing as None."""
        least, most = (min(self.seconds), max(self.seconds)) if self.seconds else (math.nan,) * 2
        low, high = self.ratio_range
        numbers = {
            "median_seconds": self.median,
            "least_seconds": least,
            "most_seconds": most,
            "ratio": self.ratio,
            "least_ratio": low,
            "most_ratio": high,
            "memory_mib": self.memory_mib,
            "max_logit_difference": self.logit_difference,
            "max_probability_difference": self.probability_difference,
            "operations": self.operations,
            "peak_operations_per_second": self.peak,
            "peak_share": self.peak_share,
        }
        return {
            "method": self.method,
            "size": self.size,
            "path": self.path,
            "repeats": len(self.seconds),
            **{name: None if math.isnan(value) else value for name, value in numbers.items()},
            "slower": self.slower,
            "note": self.note,
            "failed": self.failed,
            "seconds": list(self.seconds),
            "stages": dict(self.stages),
        }
