# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A run as lines of text: scores, tests, failures. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pandas as pd

from grata_monai.benchmark.grid import PROTOCOLS
from grata_monai.benchmark.harm import MARGIN, worse_than_no_adapt
from grata_monai.benchmark.progress import cell_progress
from grata_monai.benchmark.results import over_seeds, read_rows, source_means, with_average
from grata_monai.benchmark.run_folder import RunFolder
from grata_monai.benchmark.statistics import paired_tests


def summary_text(run: str | os.PathLike[str]) -> str:
    """Return scores, tests and failures of a run.

    Args:
        run: Folder of the run.

    Raises:
        ValueError: If it is none or has no rows, or statsmodels is not installed.
    """
    rows = read_rows(run)
    plan = RunFolder(run).require_plan()
    blocks = [f"{plan.get('title') or plan['name']} ({plan['image_size']} px, {plan['device']})"]
    blocks += _incomplete(run)
    for protocol in rows["protocol"].unique():
        part = rows[rows["protocol"] == protocol]
        blocks += [f"Protocol {protocol}: {PROTOCOLS[protocol]}", *_protocol_blocks(part)]
    return "\n\n".join(blocks)


def score_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean scores of each source and method, "mean ± std" where there are seeds.

    Args:
        rows: What ``read_rows`` returns.
    """
    means = source_means(rows)
    if means["source"].nunique() > 1:
        means = with_average(means)
    found = over_seeds(means)
    table = found[["source", "round", "method"]].copy()
    for title, score, digits in (
        ("Dice", "dice", 2),
        ("disc", "dice_disc", 2),
        ("cup", "dice_cup", 2),
        ("ASSD disc", "assd_disc", 2),
        ("ASSD cup", "assd_cup", 2),
        ("vCDR error", "vcdr_error", 3),
        ("s/image", "seconds", 2),
    ):
        spread = f"{score}_std"
        table[title] = [
            _number(mean, std, digits)
            for mean, std in zip(found[score], found[spread], strict=True)
        ]
    table["images"] = found["images"] // found["seeds"]
    table["failed"] = found["failed_images"]
    return _without_constant(table, "round")


def _protocol_blocks(rows: pd.DataFrame) -> Iterator[str]:
    seeds = rows["seed"].nunique()
    spread = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    yield f"Scores (Dice in points, ASSD in pixels; {spread})\n{_lines(score_table(rows))}"
    tests = paired_tests(rows)
    if not tests.empty:
        yield (
            "Change of Dice per image (95 % bootstrap interval; p of Wilcoxon's test after Holm's "
            f"correction; r: matched-pairs rank-biserial)\n{_lines(_test_table(tests))}"
        )
    harm = worse_than_no_adapt(rows)
    if not harm.empty:
        yield (
            f"Images worse than No Adapt, and by more than {MARGIN:g} point\n"
            f"{_lines(_harm_table(harm))}"
        )


def _test_table(tests: pd.DataFrame) -> pd.DataFrame:
    table = tests[["source", "stream", "round", "method", "baseline"]].copy()
    table = table.rename(columns={"baseline": "against"})
    table["images"] = tests["images"]
    table["change"] = [f"{value:+.2f}" for value in tests["difference"]]
    table["interval"] = [
        f"[{low:+.2f}, {high:+.2f}]" for low, high in zip(tests["low"], tests["high"], strict=True)
    ]
    table["p"] = [f"{value:.2g}" for value in tests["p_holm"]]
    table["r"] = [f"{value:+.2f}" for value in tests["rank_biserial"]]
    return _without_constant(table, "round")


def _harm_table(harm: pd.DataFrame) -> pd.DataFrame:
    table = harm[["source", "stream", "round", "method", "images"]].copy()
    table["worse"] = harm["worse"]
    table[f"by > {MARGIN:g}"] = harm["worse_by_margin"]
    table["better"] = harm["better"]
    table["worst drop"] = [f"{value:.2f}" for value in harm["worst_drop"]]
    table["mean of worst 5 %"] = [f"{value:+.2f}" for value in harm["mean_of_worst"]]
    return _without_constant(table, "round")


def _incomplete(run: str | os.PathLike[str]) -> list[str]:
    cells = list(cell_progress(run))
    left = [cell for cell in cells if cell.status != "complete"]
    if not left:
        return []
    lines = [f"{len(left)} of {len(cells)} cells are not complete."]
    lines += [f"  {cell.cell} failed: {cell.error}" for cell in left if cell.status == "failed"]
    return ["\n".join(lines)]


def _number(mean: float, std: float, digits: int) -> str:
    if mean != mean:
        return "-"
    return f"{mean:.{digits}f}" + (f" ± {std:.{digits}f}" if std == std else "")


def _without_constant(table: pd.DataFrame, column: str) -> pd.DataFrame:
    return table.drop(columns=column) if table[column].nunique() < 2 else table


def _lines(table: pd.DataFrame) -> str:
    return table.to_string(index=False)
