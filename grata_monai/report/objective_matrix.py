# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""GraTa with every pair of objectives, as a matrix (the paper's Table 5)."""

from __future__ import annotations

from grata_monai.benchmark.presets import OBJECTIVES
from grata_monai.benchmark.results import AVERAGE
from grata_monai.report.analysis import Analysis
from grata_monai.report.paper_numbers import PaperNumbers
from grata_monai.report.plan import Method
from grata_monai.report.table import Cell, Column, Row, Table, mark_best, number_cell, text_cell

_DEFAULTS = {"pseudo": "consistency", "auxiliary": "entropy"}
_SHORT = {long: short for short, long in OBJECTIVES.items()}


def objective_pair(method: Method) -> tuple[str, str] | None:
    """Return the short names of GraTa's pseudo and auxiliary objective.

    None for other methods, for GraTa with other options beside these, and without an auxiliary
    objective.

    Args:
        method: A method of the plan.

    Example:
        >>> objective_pair(Method("GraTa", "grata", {}))
        ('con', 'ent')
        >>> objective_pair(Method("x", "grata", {"pseudo": "rotation", "auxiliary": "entropy"}))
        ('rot', 'ent')
        >>> objective_pair(Method("GraTa linear", "grata", {"mapping": "linear"}))
    """
    if method.adapter != "grata" or set(method.options) - set(_DEFAULTS):
        return None
    named = {**_DEFAULTS, **method.options}
    pair = tuple(_SHORT.get(str(named[role]), "") for role in ("pseudo", "auxiliary"))
    return (pair[0], pair[1]) if all(pair) else None


def objective_matrix(analysis: Analysis, protocol: str) -> Table | None:
    """Return pseudo (rows) x auxiliary (columns), Dice averaged over sources.

    Args:
        analysis: Of the run.
        protocol: Whose scores.

    Returns:
        The paper's number stands in brackets behind ours, if there is one. None unless there are
        at least two objectives in the role of the pseudo objective.
    """
    names: dict[tuple[str, str], str] = {}
    for method in analysis.run.plan.methods:
        pair = objective_pair(method)
        if pair is not None and method.name in analysis.run.methods:
            names.setdefault(pair, method.name)
    if len({pseudo for pseudo, _ in names}) < 2:
        return None
    source, found = _scores(analysis, protocol)
    paper = PaperNumbers(analysis.run, protocol)
    columns = [Column("pseudo \\ auxiliary", "pseudo", numeric=False)]
    columns += [Column(short, short, OBJECTIVES[short]) for short in OBJECTIVES]
    rows = []
    for pseudo in OBJECTIVES:
        cells = [text_cell(pseudo)]
        for auxiliary in OBJECTIVES:
            name = names.get((pseudo, auxiliary), "")
            mean, spread = found.get(name, (None, None))
            cells.append(_with_paper(number_cell(mean, spread=spread), paper.average(name)))
        rows.append(Row(tuple(cells), {"protocol": protocol}))
    for index in range(1, len(columns)):
        rows = mark_best(rows, index, largest=True)
    what = "average over the sources" if source == AVERAGE else f"source {source}"
    return Table(
        f"objectives_{protocol}",
        f"Dice by pair of objectives, {what}, protocol {protocol}",
        tuple(columns),
        tuple(rows),
        "Rows: pseudo objective, whose gradient makes the step; columns: auxiliary objective. "
        "Bold: best of its column. In brackets: the paper's Table 5, an average over five sources.",
    )


def _scores(
    analysis: Analysis, protocol: str
) -> tuple[str, dict[str, tuple[float | None, float | None]]]:
    means = analysis.by_source
    means = means[(means["protocol"] == protocol) & (means["round"] == means["round"].min())]
    sources = set(means["source"])
    source = AVERAGE if AVERAGE in sources else str(means["source"].iloc[0])
    of_source = means[means["source"] == source]
    scores = zip(of_source["method"], of_source["dice"], of_source["dice_std"], strict=True)
    return source, {str(name): (float(mean), float(std)) for name, mean, std in scores}


def _with_paper(cell: Cell, published: float | None) -> Cell:
    if published is None or cell.value is None:
        return cell
    return Cell(cell.value, f"{cell.text} [{published:.2f}]", cell.spread)
