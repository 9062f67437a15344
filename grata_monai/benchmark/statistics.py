# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Is a method better than a baseline, and by how much? Paired over images. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from grata_monai.benchmark.pairing import GROUP, Pairs, pairs

RESAMPLES = 2000
CONFIDENCE = 0.95
_Vector = npt.NDArray[np.float64]


def paired_tests(
    rows: pd.DataFrame,
    *,
    metric: str = "dice",
    against: Sequence[str] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare every method with No Adapt and with PTBN on every stream.

    Wilcoxon's signed-rank test (two-sided, zero differences left out) over images; scores are
    averaged over seeds first. Holm's correction is over all tests of a stream: all methods
    against both baselines. The images of a stream that a method adapts to one after the other are
    not independent, so p values are a guide, not a proof.

    Args:
        rows: What ``read_rows`` returns.
        metric: The score.
        against: Names of the baselines; by default No Adapt and PTBN.
        resamples: Resamples of the bootstrap.
        seed: Its seed.

    Returns:
        A row per protocol, source, stream, round, baseline and method: ``images``, ``missing``
        (images without a score of either), ``difference`` (mean, method minus baseline) with its
        95 % interval ``low``..``high`` (BCa bootstrap over images), ``p``, ``p_holm``, and
        ``rank_biserial``, the matched-pairs rank-biserial correlation.

    Raises:
        ValueError: If statsmodels is not installed.
    """
    found = []
    for pair in pairs(rows, metric=metric, against=against):
        difference = pair.differences
        low, high = bootstrap_interval(difference, resamples=resamples, seed=seed)
        found.append(
            {
                **_names(pair),
                "difference": float(difference.mean()) if len(difference) else np.nan,
                "low": low,
                "high": high,
                "p": wilcoxon_p(difference),
                "rank_biserial": rank_biserial(difference),
            }
        )
    columns = [*GROUP, "baseline", "method", "images", "missing", "difference", "low", "high"]
    table = pd.DataFrame(found, columns=[*columns, "p", "rank_biserial"])
    table.insert(len(columns) + 1, "p_holm", np.nan)
    for _, part in table.groupby(GROUP, sort=False):
        table.loc[part.index, "p_holm"] = holm(np.asarray(part["p"], dtype=np.float64))
    return table


def wilcoxon_p(difference: _Vector) -> float:
    """Return the two-sided p value of Wilcoxon's signed-rank test.

    Args:
        difference: Differences of pairs. 1 if all are zero, NaN if there are none.
    """
    from scipy.stats import wilcoxon

    if not len(difference):
        return float("nan")
    if not np.any(difference):
        return 1.0
    return float(wilcoxon(difference, zero_method="wilcox").pvalue)


def rank_biserial(difference: _Vector) -> float:
    r"""Return the matched-pairs rank-biserial correlation :math:`(W_+ - W_-) / (W_+ + W_-)`.

    From -1 (every image worse) over 0 to 1 (every image better), weighted by the ranks of the
    absolute differences.

    Args:
        difference: Differences of pairs; zeros are left out. 0 if all are, NaN if there are none.

    Example:
        >>> round(rank_biserial(np.array([1.0, 2.0, -3.0])), 6)
        0.0

    Reference:
        D. S. Kerby, "The simple difference formula", Comprehensive Psychology 3, 2014.
    """
    from scipy.stats import rankdata

    if not len(difference):
        return float("nan")
    nonzero = difference[difference != 0]
    if not len(nonzero):
        return 0.0
    ranks = rankdata(np.abs(nonzero))
    return float(np.sum(np.sign(nonzero) * ranks) / np.sum(ranks))


def bootstrap_interval(
    difference: _Vector, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % BCa bootstrap interval of the mean.

    Args:
        difference: Differences of pairs. With fewer than two there is none (NaN); if all are the
            same it is that value.
        resamples: Number of resamples.
        seed: Their seed.
    """
    from scipy.stats import bootstrap

    if len(difference) < 2:
        return float("nan"), float("nan")
    if np.ptp(difference) == 0:
        return float(difference[0]), float(difference[0])
    interval = bootstrap(
        (difference,),
        np.mean,
        n_resamples=resamples,
        confidence_level=CONFIDENCE,
        method="BCa",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def holm(p_values: _Vector) -> _Vector:
    """Return p values after Holm's correction; NaN stay NaN and do not count.

    Args:
        p_values: Those of one family.

    Raises:
        ValueError: If statsmodels is not installed.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
        [0.03, 0.06, 0.06]
    """
    try:
        from statsmodels.stats.multitest import multipletests
    except ImportError as error:
        raise ValueError(
            "The tests need statsmodels; install it with: pip install 'grata-monai[benchmark]'"
        ) from error
    corrected = np.full(len(p_values), np.nan)
    known = ~np.isnan(p_values)
    if known.any():
        corrected[known] = multipletests(p_values[known], method="holm")[1]
    return corrected


def _names(pair: Pairs) -> dict[str, Any]:
    return {
        **dict(zip(GROUP, pair.group, strict=True)),
        "baseline": pair.baseline,
        "method": pair.method,
        "images": len(pair.scores),
        "missing": pair.missing,
    }
