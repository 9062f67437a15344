# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark as a config of the bundle."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from grata_monai.benchmark import Plan, make_plan, requested_grid, run_plan, summary_text
from grata_monai.bundle.data import checked_path
from grata_monai.bundle.guard import exits_on_user_error

_logger = logging.getLogger(__name__)


@exits_on_user_error
def benchmark_plan(
    dataset_dir: str | os.PathLike[str] | None,
    *,
    sources: Mapping[str, str | os.PathLike[str]],
    preset: str | None = None,
    grid: str | os.PathLike[str] | None = None,
    device: str | None = None,
    **changes: Any,
) -> Plan:
    """Return what a config asks to run, checked.

    Args:
        dataset_dir: Folder of the targets, in the authors' layout.
        sources: Weights by the name of their domain.
        preset: Name of a preset.
        grid: JSON file with a grid; give this or a preset.
        device: Where to compute; None: the GPU if there is one.
        changes: Targets, methods and so on, as ``grata_monai.benchmark.requested_grid`` has them.
    """
    if dataset_dir is None:
        raise ValueError(
            "There is no data: give --dataset_dir with the root folder of the authors' layout."
        )
    if not isinstance(sources, Mapping):
        raise TypeError(
            "The 'sources' must be a dictionary such as \"{'REFUGE': 'models/model.pt'}\". "
            f"Got {sources!r}."
        )
    folder = checked_path(dataset_dir, "dataset_dir")
    lists = ("targets", "methods", "seeds", "protocols")
    given: dict[str, Any] = {k: tuple(v) if k in lists else v for k, v in changes.items()}
    found = requested_grid(folder, preset=preset, grid=grid, sources=dict(sources), **given)
    return make_plan(found, folder, device=device)


@exits_on_user_error
def run_benchmark(
    plan: Plan, output_dir: str | os.PathLike[str], *, jobs: int = 1, pictures: bool = True
) -> None:
    """Run a plan and log its summary; go on with it if the folder holds a part of it.

    Args:
        plan: What ``benchmark_plan`` returned.
        output_dir: Folder of the run.
        jobs: Processes.
        pictures: Whether to keep pictures and predictions.
    """
    folder = checked_path(output_dir, "output_dir")
    report = run_plan(plan, folder, jobs=jobs, pictures=pictures)
    if any(outcome.images for outcome in report.outcomes) or report.kept:
        _logger.info("Results\n%s", summary_text(folder))
    if report.failures:
        raise ValueError(f"{report.failures} failures, see {folder / 'failures.csv'}.")
