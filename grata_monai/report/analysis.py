# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark's own statistics of a run, computed once for tables, cards and page."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from grata_monai.benchmark.harm import worse_than_no_adapt
from grata_monai.benchmark.results import over_seeds, source_means, target_means, with_average
from grata_monai.benchmark.statistics import paired_tests
from grata_monai.report.run import Run


@dataclass(frozen=True)
class Analysis:
    """Means over images, as the protocols take them, and comparisons of paired images.

    Args:
        run: The run.
        by_source: Per protocol, source, stream, round and method: means ± std over seeds. With
            several sources the source "average" is the mean over them.
        by_target: The same per target of a stream.
        cells: Per target and seed.
        tests: Every method against No Adapt and PTBN, per stream.
        harm: How many images a method made worse than No Adapt, per stream.
    """

    run: Run
    by_source: pd.DataFrame
    by_target: pd.DataFrame
    cells: pd.DataFrame
    tests: pd.DataFrame
    harm: pd.DataFrame

    @property
    def has_rounds(self) -> bool:
        """Whether a stream was gone through more than once."""
        return bool(self.run.rows["round"].max() > 1)


def analyse(run: Run) -> Analysis:
    """Compute all statistics that a report shows.

    Args:
        run: The run.

    Raises:
        ValueError: If statsmodels is not installed.
    """
    means = source_means(run.rows)
    if means["source"].nunique() > 1:
        means = with_average(means)
    cells = target_means(run.rows)
    return Analysis(
        run=run,
        by_source=over_seeds(means),
        by_target=over_seeds(cells),
        cells=cells,
        tests=paired_tests(run.rows),
        harm=worse_than_no_adapt(run.rows),
    )
