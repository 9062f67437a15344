# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the page says in words: its first sentence, the cards below, the facts at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from grata_monai.benchmark.grid import PROTOCOLS
from grata_monai.benchmark.results import AVERAGE
from grata_monai.report.analysis import Analysis
from grata_monai.report.frames import records
from grata_monai.report.html import Fact, focus_method
from grata_monai.report.run import Run


def lead_sentence(run: Run) -> str:
    """Return what was compared with what, in one sentence.

    Args:
        run: The run.
    """
    images = len(run.rows.drop_duplicates(["target", "image"]))
    parts = [
        counted(len(run.methods), "method"),
        f"{counted(len(run.sources), 'source')} ({', '.join(run.sources)})",
        f"{counted(len(run.targets), 'target')} ({', '.join(run.targets)})",
        counted(images, "image"),
        counted(len(run.seeds), "seed"),
        f"protocol{'s' if len(run.protocols) > 1 else ''} {', '.join(run.protocols)}",
    ]
    return f"Preset {run.plan.name}: {'; '.join(parts)}."


def summary_cards(analysis: Analysis) -> list[Fact]:
    """Return the few numbers to see first; of several protocols those of the first.

    Args:
        analysis: Of the run.
    """
    run = analysis.run
    protocol = run.protocols[0]
    means = analysis.by_source[analysis.by_source["protocol"] == protocol]
    source = AVERAGE if AVERAGE in set(means["source"]) else run.sources[0]
    last = means[(means["source"] == source) & (means["round"] == means["round"].max())]
    scores = {str(row["method"]): row for row in records(last.dropna(subset=["dice"]))}
    where = "average over the sources" if source == AVERAGE else f"source {source}"
    if len(run.protocols) > 1:
        where += f", protocol {protocol}"
    if analysis.has_rounds:
        where += ", last round"
    focus = focus_method(run)
    cards = list(_score_cards(scores, focus, run.baseline, where))
    cards += _harm_cards(analysis, protocol, focus)
    failed = int((run.rows["error"] != "").sum())
    note = f"of {len(run.rows)} predictions"
    if len(run.failures):
        note += f"; failures.csv has {counted(len(run.failures), 'line')}"
    return [*cards, Fact("Failed images", str(failed), note)]


def about(run: Run) -> list[Fact]:
    """Return how the numbers came to be.

    Args:
        run: The run.
    """
    plan = run.plan
    facts = [
        Fact("State", run.state),
        Fact("Preset", plan.name),
        *(Fact(f"Protocol {name}", PROTOCOLS.get(name, "unknown")) for name in run.protocols),
        Fact("Input", f"{plan.image_size} px; distances are in these pixels"),
        Fact("Rounds", str(plan.rounds)),
        Fact("Seeds", ", ".join(map(str, run.seeds))),
        Fact("Device", plan.device or "unknown"),
        Fact("Versions", ", ".join(f"{k} {v}" for k, v in plan.versions.items()) or "unknown"),
        Fact(
            "Dice",
            "2|A∩B| / (|A| + |B|) in points, 100 where both are empty; the disc includes the cup",
        ),
        Fact(
            "Change",
            "Dice minus that of the method that does not adapt, on the same image and seed",
        ),
    ]
    not_run = [method.name for method in plan.methods if method.name not in run.methods]
    if not_run:
        facts.append(Fact("Without results", ", ".join(not_run)))
    facts += [Fact("Failure", text) for text in _failure_lines(run.failures)]
    return facts


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "seed"), counted(3, "seed")
        ('1 seed', '3 seeds')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _score_cards(
    scores: Mapping[str, Mapping[str, float]], focus: str, baseline: str | None, where: str
) -> Iterator[Fact]:
    if not scores:
        return
    best = max(scores, key=lambda name: scores[name]["dice"])
    if len(scores) > 1:
        yield Fact("Best method", best, f"Dice {_mean(scores, best)}, {where}")
    if focus in scores:
        yield Fact(f"Dice of {focus}", _mean(scores, focus), where)
        if baseline is not None and baseline in scores and baseline != focus:
            change = scores[focus]["dice"] - scores[baseline]["dice"]
            yield Fact(
                f"{focus} against {baseline}",
                f"{change:+.2f}",
                f"{baseline} has {_mean(scores, baseline)}",
            )
        seconds = scores[focus]["seconds"]
        yield Fact("Seconds per image", f"{seconds:.2f}", f"{focus}: adapt and predict")


def _harm_cards(analysis: Analysis, protocol: str, focus: str) -> Iterator[Fact]:
    harm = analysis.harm
    here = harm[(harm["protocol"] == protocol) & (harm["method"] == focus)]
    here = here[here["round"] == here["round"].max()]
    images = int(here["images"].sum())
    if images:
        worse = int(here["worse"].sum())
        drop = float(here["worst_drop"].min())
        yield Fact(
            f"Worse than {analysis.run.baseline}",
            f"{worse} of {images}",
            f"images with {focus}; the largest drop is {drop:.1f}",
        )


def _mean(scores: Mapping[str, Mapping[str, float]], method: str) -> str:
    mean, spread = scores[method]["dice"], scores[method]["dice_std"]
    return f"{mean:.2f}" + (f" ± {spread:.2f}" if spread == spread else "")


def _failure_lines(failures: pd.DataFrame, most: int = 20) -> Sequence[str]:
    lines = [
        ": ".join(filter(None, (row.get("cell", ""), row.get("image", ""), row.get("error", ""))))
        for row in records(failures.head(most))
    ]
    if len(failures) > most:
        lines.append(f"and {len(failures) - most} more in failures.csv")
    return lines
