# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Run a plan in a folder: what is there already is kept, what fails is reported."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from grata_monai._checks import check_number
from grata_monai.benchmark.cells import CellOutcome, CellTask, fail_cell, images_done, is_complete
from grata_monai.benchmark.engines import Engine
from grata_monai.benchmark.grid import Cell, make_cell
from grata_monai.benchmark.merging import merge_plans, merge_results
from grata_monai.benchmark.plan import Plan
from grata_monai.benchmark.run_folder import RunFolder, read_text_rows, write_json
from grata_monai.benchmark.workers import run_cells


@dataclass(frozen=True)
class RunReport:
    """How a run ended.

    Args:
        outcomes: Of the cells that ran now, in the order in which they ended.
        kept: Number of cells that were complete before.
        failures: Number of lines of failures.csv that are of cells, now or before.
    """

    outcomes: tuple[CellOutcome, ...]
    kept: int
    failures: int

    @property
    def failed(self) -> list[CellOutcome]:
        """The cells that failed, as a whole or on single images."""
        return [o for o in self.outcomes if o.status == "failed" or o.failed_images]


def run_plan(
    plan: Plan,
    folder: str | Path,
    *,
    jobs: int = 1,
    engine: Engine | None = None,
    pictures: bool = True,
    progress: bool = True,
) -> RunReport:
    """Run all cells of a plan that are not complete yet.

    The folder may hold an earlier run, stopped or complete: its cells stay, and methods, seeds,
    sources, targets or protocols may be new. Cells with a ``rate_from`` run last.

    Args:
        plan: What to run.
        folder: Folder of the run.
        jobs: Processes of this machine, >= 1.
        engine: What runs the cells in place of these, such as a cluster (``ray_engine``).
        pictures: Whether to keep pictures and predictions (for reports).
        progress: Whether to show progress bars.

    Raises:
        ValueError: If the folder holds cells of these ids with other settings, or another process
            is running there.
    """
    check_number("run_plan", "jobs", jobs, minimum=1, integer=True)
    engine = engine or partial(run_cells, jobs=jobs)
    run = RunFolder(folder)
    run.path.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run.path / ".lock", timeout=0):
            return _run(plan, run, engine, pictures=pictures, progress=progress)
    except Timeout as error:
        raise ValueError(
            f"Another process is running the benchmark in {run.path}; wait for it or choose "
            "another folder."
        ) from error


def _run(
    plan: Plan, run: RunFolder, engine: Engine, *, pictures: bool, progress: bool
) -> RunReport:
    write_json(run.plan_file, merge_plans(plan, run))
    cells = plan.grid.cells()
    tasks = [
        plan.task(cell, run.path, pictures=pictures)
        for cell in cells
        if not is_complete(run.cell(cell.id))
    ]
    outcomes: list[CellOutcome] = []
    total = sum(len(task.stream) for task in tasks)
    done = sum(images_done(task.folder) for task in tasks)
    bar = tqdm(
        total=total,
        initial=done,
        desc="images",
        unit="image",
        disable=not progress,
        file=sys.stderr,
    )

    def advance() -> None:
        bar.update()

    try:
        with bar:
            for wave in (False, True):
                ready, refused = _with_rates(plan, run, tasks, dependent=wave)
                outcomes += refused
                for outcome in engine(ready, on_image=advance):
                    outcomes.append(outcome)
                    if progress:
                        bar.write(describe(outcome), file=sys.stderr)
    finally:
        failures = merge_results(run, plan)
    return RunReport(tuple(outcomes), len(cells) - len(tasks), failures)


def describe(outcome: CellOutcome) -> str:
    """Return one line on how a cell ended."""
    if outcome.status == "failed":
        return f"{outcome.cell}: failed: {outcome.error}"
    failed = f", {outcome.failed_images} of them failed" if outcome.failed_images else ""
    return f"{outcome.cell}: {outcome.images} images{failed}"


def _with_rates(
    plan: Plan, run: RunFolder, tasks: Sequence[CellTask], *, dependent: bool
) -> tuple[list[CellTask], list[CellOutcome]]:
    """Return the tasks whose rate is (not) that of another cell, and those that cannot run."""
    ready: list[CellTask] = []
    refused: list[CellOutcome] = []
    for task in tasks:
        base = plan.grid.method(task.cell.method).rate_from
        if (base is not None) is not dependent:
            continue
        if base is None:
            ready.append(task)
            continue
        try:
            rate = mean_rate(run, _sibling(task.cell, base))
        except ValueError as error:
            refused.append(fail_cell(task, str(error)))
        else:
            ready.append(replace(task, options={**task.options, "beta": rate}))
    return ready, refused


def mean_rate(run: RunFolder, cell: Cell) -> float:
    """Return the mean learning rate over the images of a finished cell.

    Args:
        run: The run's folder.
        cell: The cell.

    Raises:
        ValueError: If the cell is not complete or its method has no learning rate.
    """
    folder = run.cell(cell.id)
    if not is_complete(folder):
        raise ValueError(f"It needs the learning rates of {cell.id}, which is not complete.")
    rows = read_text_rows(folder / "rows.csv")
    rates = [float(row["trace_learning_rate"]) for row in rows if row.get("trace_learning_rate")]
    if not rates:
        raise ValueError(f"It needs learning rates, but {cell.method!r} has none.")
    return sum(rates) / len(rates)


def _sibling(cell: Cell, method: str) -> Cell:
    return make_cell(cell.protocol, cell.source, cell.targets, method, cell.seed)
