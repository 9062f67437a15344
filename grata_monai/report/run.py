# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of a benchmark as tables: one row per image, whether it has ended or not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from grata_monai.benchmark.results import SCORES
from grata_monai.benchmark.run_folder import TEXT_COLUMNS, RunFolder
from grata_monai.data.json_files import parse_json
from grata_monai.report.plan import Plan, read_plan

NEEDED_COLUMNS = (
    "cell",
    "protocol",
    "source",
    "stream",
    "target",
    "method",
    "adapter",
    "seed",
    "round",
    "position",
    "image",
    "dice_disc",
    "dice_cup",
    "error",
)


@dataclass(frozen=True)
class Run:
    """A benchmark's folder.

    Args:
        folder: Where it lies; paths in the rows are relative to it.
        plan: What was asked for.
        rows: One row per image. ``dice`` is the mean of disc and cup; it is added here.
        failures: Columns cell, image, error.
        unfinished: Ids of planned cells that have not come to their end.
    """

    folder: Path
    plan: Plan
    rows: pd.DataFrame
    failures: pd.DataFrame
    unfinished: tuple[str, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods that have rows, in the plan's order."""
        return self._present("method", [method.name for method in self.plan.methods])

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources that have rows."""
        return self._present("source", self.plan.sources)

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the domains that have rows."""
        return self._present("target", self.plan.targets)

    @property
    def protocols(self) -> tuple[str, ...]:
        """Names of the protocols that have rows."""
        return self._present("protocol", self.plan.protocols)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that have rows."""
        return tuple(sorted(int(seed) for seed in self.rows["seed"].unique()))

    @property
    def baseline(self) -> str | None:
        """The method that does not adapt, if it has rows."""
        return self.plan.baseline if self.plan.baseline in self.methods else None

    @property
    def state(self) -> str:
        """One line on how much of the plan is in this report."""
        planned, missing = len(self.plan.cells), len(self.unfinished)
        if not missing:
            return f"complete: {planned} cells, {len(self.rows)} rows"
        return (
            f"NOT COMPLETE: {planned - missing} of {planned} cells have ended; all numbers are "
            f"those of the {len(self.rows)} rows so far"
        )

    def _present(self, column: str, order: Sequence[str]) -> tuple[str, ...]:
        found = set(self.rows[column])
        known = [name for name in order if name in found]
        return (*known, *sorted(found - set(known)))


def read_run(folder: str | os.PathLike[str]) -> Run:
    """Read a benchmark's folder; one that still runs, or was stopped, too.

    Args:
        folder: What ``grata-monai benchmark run`` wrote.

    Raises:
        FileNotFoundError: If there is no such folder or it has no plan.
        ValueError: If a file is not what it should be, or no image has been scored yet.
    """
    root = Path(folder)
    plan = read_plan(root)
    rows = _all_rows(root, plan)
    for name in set(SCORES) - set(rows.columns) - {"dice"}:
        rows[name] = np.nan
    for name in {"picture", "truth", "prediction"} - set(rows.columns):
        rows[name] = ""
    rows["dice"] = rows[["dice_disc", "dice_cup"]].mean(axis=1, skipna=False)
    done = set(rows["cell"])
    unfinished = tuple(
        c for c in plan.cells if c not in done or not _ended(RunFolder(root).cell(c))
    )
    return Run(root, plan, rows, _failures(root), unfinished)


def _all_rows(root: Path, plan: Plan) -> pd.DataFrame:
    """Return the rows of cells if they are newer than, or more than, those of the whole run."""
    folders = [RunFolder(root).cell(cell) for cell in plan.cells]
    parts = [path for folder in folders if (path := folder / "rows.csv").is_file()]
    whole = root / "rows.csv"
    if whole.is_file() and not any(p.stat().st_mtime > whole.stat().st_mtime for p in parts):
        parts = [whole]
    tables = [table for path in parts if len(table := read_rows(path))]
    if not tables:
        raise ValueError(f"{root} has no scored image yet; start or go on with the benchmark.")
    return pd.concat(tables, ignore_index=True)


def read_rows(path: Path) -> pd.DataFrame:
    """Read one table of scores; what is no number in a column of numbers becomes NaN.

    Raises:
        ValueError: If it is no such table.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        return pd.DataFrame(columns=list(NEEDED_COLUMNS))
    except (UnicodeDecodeError, pd.errors.ParserError) as error:
        raise ValueError(f"{path} is not a CSV table in UTF-8: {error}.") from error
    missing = [name for name in NEEDED_COLUMNS if name not in table.columns]
    if missing:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)} of a benchmark's rows.")
    for name in table.columns:
        if name not in TEXT_COLUMNS:
            table[name] = pd.to_numeric(table[name], errors="coerce")
    for name in ("seed", "round"):
        if not np.isfinite(table[name].astype(float)).all():
            raise ValueError(f"{path} has a row whose {name!r} is no number.")
    return table


def _ended(cell: Path) -> bool:
    """Tell whether a cell has come to its end; one without a status file counts by its state."""
    try:
        status = parse_json((cell / "cell.json").read_text(encoding="utf-8"))
        return bool(status["status"] == "complete")
    except (OSError, ValueError, KeyError, TypeError):
        return not (cell / "state.pt").exists()


def _failures(root: Path) -> pd.DataFrame:
    path = root / "failures.csv"
    if not path.is_file() or not path.stat().st_size:
        return pd.DataFrame(columns=["cell", "image", "error"])
    return pd.read_csv(path, dtype=str, keep_default_na=False)
