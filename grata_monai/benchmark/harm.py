# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How many images a method makes worse, and by how much. No torch."""

from __future__ import annotations

import math

import pandas as pd

from grata_monai.benchmark.pairing import GROUP, Pairs, baselines, pairs

MARGIN = 1.0
"""Points of Dice that a drop must exceed to count as more than noise."""
WORST_SHARE = 0.05
COLUMNS = (
    *GROUP,
    "method",
    "images",
    "missing",
    "worse",
    "worse_by_margin",
    "better",
    "better_by_margin",
    "worst_drop",
    "worst_image",
    "mean_of_worst",
)


def worse_than_no_adapt(rows: pd.DataFrame, *, margin: float = MARGIN) -> pd.DataFrame:
    """Count the images that became worse than without adaptation.

    Args:
        rows: What ``read_rows`` returns.
        margin: Points of Dice (mean of disc and cup).

    Returns:
        A row per protocol, source, stream, round and method: of ``images`` that both have a score
        for, how many are ``worse`` at all and ``worse_by_margin``, likewise better; ``worst_drop``
        (the most negative change, 0 if no image got worse) and ``worst_image``; ``mean_of_worst``
        (mean change of the worst 5 %, at least one image). Scores are averaged over seeds. No rows
        if the run has no No Adapt.
    """
    names = baselines(rows, ("source",))
    found = [_count(pair, margin) for pair in pairs(rows, against=names)] if names else []
    return pd.DataFrame(found, columns=list(COLUMNS))


def _count(pair: Pairs, margin: float) -> dict[str, object]:
    change = pair.difference.sort_values(kind="stable")
    worst = change.iloc[: max(1, math.ceil(WORST_SHARE * len(change)))]
    drop = float(change.iloc[0]) if len(change) else math.nan
    return {
        **dict(zip(GROUP, pair.group, strict=True)),
        "method": pair.method,
        "images": len(change),
        "missing": pair.missing,
        "worse": int((change < 0).sum()),
        "worse_by_margin": int((change < -margin).sum()),
        "better": int((change > 0).sum()),
        "better_by_margin": int((change > margin).sum()),
        "worst_drop": min(drop, 0.0) if len(change) else math.nan,
        "worst_image": str(change.index[0][1]) if len(change) and drop < 0 else "",
        "mean_of_worst": float(worst.mean()) if len(change) else math.nan,
    }
