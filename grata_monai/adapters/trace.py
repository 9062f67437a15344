# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The numbers that methods report of each image."""

from __future__ import annotations

import math
from collections.abc import Sequence


def mean_trace(traces: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each number over the traces that have it (NaN is to have it not).

    Args:
        traces: Of images, or of windows of one; without any nothing was ``updated``.

    Example:
        >>> mean_trace([{"updated": 1.0, "cosine": 0.5}, {"updated": 0.0}])
        {'updated': 0.5, 'cosine': 0.5}
    """
    means = {"updated": 0.0}
    for name in dict.fromkeys(name for trace in traces for name in trace):
        values = [t[name] for t in traces if not math.isnan(t.get(name, math.nan))]
        means[name] = math.fsum(values) / len(values) if values else math.nan
    return means
