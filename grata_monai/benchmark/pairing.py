# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The same images with a method and with a baseline, side by side. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

BASELINE_ADAPTERS = ("source", "ptbn")
"""Ids of the methods that others are compared with: No Adapt and PTBN."""
GROUP = ["protocol", "source", "stream", "round"]
"""What is compared within: one stream of images."""


@dataclass(frozen=True)
class Pairs:
    """A method and a baseline on the images that both have a score for.

    Args:
        group: Values of ``GROUP``.
        baseline: Name of the baseline.
        method: Name of the method.
        scores: A row per image, with the columns ``baseline`` and ``method``, averaged over seeds;
            the index is (target, image).
        missing: Images of the stream that lack a score of either.
    """

    group: tuple[object, ...]
    baseline: str
    method: str
    scores: pd.DataFrame
    missing: int

    @property
    def difference(self) -> pd.Series[float]:
        """Method minus baseline, per image."""
        return self.scores["method"] - self.scores["baseline"]

    @property
    def differences(self) -> npt.NDArray[np.float64]:
        """The same as an array."""
        return np.asarray(self.difference, dtype=np.float64)


def baselines(rows: pd.DataFrame, adapters: Sequence[str] = BASELINE_ADAPTERS) -> list[str]:
    """Return the names that the baselines have in a run, in the order of their ids.

    Only a method with the adapter's defaults would do, so the first of a name counts.

    Args:
        rows: What ``read_rows`` returns.
        adapters: Ids of the baselines.
    """
    names = rows[["method", "adapter"]].drop_duplicates()
    found = [names.loc[names["adapter"] == adapter, "method"] for adapter in adapters]
    return [str(methods.iloc[0]) for methods in found if len(methods)]


def pairs(
    rows: pd.DataFrame, *, metric: str = "dice", against: Sequence[str] = ()
) -> Iterator[Pairs]:
    """Yield every method with every baseline on every stream.

    An image that a stream goes through with several seeds counts once, with the mean of its scores:
    seeds are no further images.

    Args:
        rows: What ``read_rows`` returns.
        metric: The score.
        against: Names of the baselines; by default No Adapt and PTBN as far as they are there.
    """
    names = list(against) or baselines(rows)
    for group, part in rows.groupby(GROUP, sort=False):
        images = part.groupby(["target", "image", "method"], sort=False)[metric]
        table = images.agg(_mean_of_all).unstack("method")
        for baseline in names:
            if baseline not in table:
                continue
            for method in table.columns:
                if method in names[: names.index(baseline) + 1]:
                    continue  # itself, or a pair of baselines that was there the other way round
                both = table[[baseline, method]].set_axis(["baseline", "method"], axis=1)
                whole = both.dropna()
                yield Pairs(group, baseline, str(method), whole, len(both) - len(whole))


def _mean_of_all(values: pd.Series[float]) -> float:
    """Return the mean over seeds, NaN if one of them is."""
    return float(values.mean(skipna=False))
