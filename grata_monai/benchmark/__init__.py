# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Every method on every pair of source and target, and what the numbers say.

Grids run with torch; what they wrote is read without it, so names are loaded when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grata_monai.benchmark.cells import CellOutcome
    from grata_monai.benchmark.empirical_gradient import empirical_gradient_cosines
    from grata_monai.benchmark.grid import PROTOCOLS, Cell, Grid, Method
    from grata_monai.benchmark.harm import worse_than_no_adapt
    from grata_monai.benchmark.plan import Plan, make_plan
    from grata_monai.benchmark.presets import PRESETS, preset
    from grata_monai.benchmark.progress import CellProgress, cell_progress
    from grata_monai.benchmark.published import published
    from grata_monai.benchmark.request import read_grid, requested_grid, write_grid
    from grata_monai.benchmark.results import (
        over_seeds,
        read_rows,
        source_means,
        target_means,
        with_average,
    )
    from grata_monai.benchmark.runner import RunReport, run_plan
    from grata_monai.benchmark.scores import Scores, score
    from grata_monai.benchmark.statistics import paired_tests
    from grata_monai.benchmark.summary import summary_text

__all__ = [
    "PRESETS",
    "PROTOCOLS",
    "Cell",
    "CellOutcome",
    "CellProgress",
    "Grid",
    "Method",
    "Plan",
    "RunReport",
    "Scores",
    "cell_progress",
    "empirical_gradient_cosines",
    "make_plan",
    "over_seeds",
    "paired_tests",
    "preset",
    "published",
    "read_grid",
    "read_rows",
    "requested_grid",
    "run_plan",
    "score",
    "source_means",
    "summary_text",
    "target_means",
    "with_average",
    "worse_than_no_adapt",
    "write_grid",
]

_MODULES = {
    "cells": ("CellOutcome",),
    "empirical_gradient": ("empirical_gradient_cosines",),
    "grid": ("PROTOCOLS", "Cell", "Grid", "Method"),
    "harm": ("worse_than_no_adapt",),
    "plan": ("Plan", "make_plan"),
    "presets": ("PRESETS", "preset"),
    "progress": ("CellProgress", "cell_progress"),
    "published": ("published",),
    "request": ("read_grid", "requested_grid", "write_grid"),
    "results": ("over_seeds", "read_rows", "source_means", "target_means", "with_average"),
    "runner": ("RunReport", "run_plan"),
    "scores": ("Scores", "score"),
    "statistics": ("paired_tests",),
    "summary": ("summary_text",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
