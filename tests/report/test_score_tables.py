# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The tables' numbers, computed again by hand from rows.csv."""

from __future__ import annotations

import csv
import statistics
from collections import defaultdict

import pytest

from grata_monai.report import read_run
from grata_monai.report.analysis import analyse
from grata_monai.report.comparisons import comparison_table, harm_table
from grata_monai.report.overview import overview_table
from grata_monai.report.score_tables import cells_table, source_table, target_table


@pytest.fixture(scope="module")
def analysis(finished_run):
    return analyse(read_run(finished_run))


@pytest.fixture(scope="module")
def plain_rows(finished_run):
    with (finished_run / "rows.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def found(table, **names):
    """Return the cells of the one row with these names, by column name."""
    columns = [column.name for column in table.columns]
    rows = [dict(zip(columns, row.cells, strict=True)) for row in table.rows]
    [row] = [r for r in rows if all(r[key].value == value for key, value in names.items())]
    return row


def macro_dice(rows, method, source, seed):
    """Return the mean over targets of the mean over images of (disc + cup) / 2."""
    by_target = defaultdict(list)
    for row in rows:
        if (row["method"], row["source"], row["seed"]) == (method, source, str(seed)):
            score = (float(row["dice_disc"]) + float(row["dice_cup"])) / 2
            by_target[row["target"]].append(score)
    return statistics.fmean(statistics.fmean(scores) for scores in by_target.values())


def test_overview_means_and_spread(analysis, plain_rows):
    cell = found(overview_table(analysis, "grata"), method="GraTa")["ORIGA"]
    seeds = [macro_dice(plain_rows, "GraTa", "ORIGA", seed) for seed in (0, 1)]
    assert cell.value == pytest.approx(statistics.fmean(seeds))
    assert cell.spread == pytest.approx(statistics.stdev(seeds))
    assert cell.text == f"{statistics.fmean(seeds):.2f} ± {statistics.stdev(seeds):.2f}"


def test_overview_average_and_change(analysis, plain_rows):
    row = found(overview_table(analysis, "grata"), method="TENT")
    both = [
        statistics.fmean(
            macro_dice(plain_rows, name, source, seed)
            for source in ("REFUGE", "ORIGA")
            for seed in (0, 1)
        )
        for name in ("TENT", "No Adapt")
    ]
    assert row["average"].value == pytest.approx(both[0])
    assert row["change"].value == pytest.approx(both[0] - both[1])


def test_the_best_of_each_source_is_marked(analysis):
    table = overview_table(analysis, "grata")
    marked = {row.cells[0].value for row in table.rows if row.cells[1].best}
    assert marked == {"GraTa"}


def test_all_measures_by_target(analysis, plain_rows):
    table = target_table(analysis, "grata")
    row = found(table, method="PTBN", source="REFUGE", target="Drishti_GS")
    own = [
        r
        for r in plain_rows
        if (r["method"], r["source"], r["target"]) == ("PTBN", "REFUGE", "Drishti_GS")
    ]
    for name in ("dice_disc", "dice_cup", "assd_disc", "assd_cup", "vcdr_error", "seconds"):
        assert row[name].value == pytest.approx(statistics.fmean(float(r[name]) for r in own))
    assert row["images"].value == 5
    assert row["failed"].value == 0


def test_distances_are_best_when_small(analysis):
    table = target_table(analysis, "grata")
    group = [r for r in table.rows if (r.keys["source"], r.keys["target"]) == ("REFUGE", "ORIGA")]
    column = [c.name for c in table.columns].index("assd_cup")
    best = min(group, key=lambda row: row.cells[column].value)
    assert best.cells[column].best
    assert sum(row.cells[column].best for row in group) == 1


def worse_by_hand(rows, method, source):
    """Return how many images have a lower Dice, averaged over seeds, than No Adapt, and all."""
    scores = defaultdict(list)
    for row in rows:
        if row["source"] == source:
            score = (float(row["dice_disc"]) + float(row["dice_cup"])) / 2
            scores[row["method"], row["image"]].append(score)
    images = {image for _, image in scores}
    means = {key: statistics.fmean(values) for key, values in scores.items()}
    worse = [i for i in images if means[method, i] < means["No Adapt", i]]
    return len(worse), len(images)


@pytest.mark.parametrize("method", ["PTBN", "TENT", "GraTa"])
def test_images_that_became_worse(analysis, plain_rows, method):
    worse, images = worse_by_hand(plain_rows, method, "ORIGA")
    cell = found(source_table(analysis, "grata"), method=method, source="ORIGA")["worse"]
    assert cell.value == worse
    assert cell.text.startswith(f"{worse} of {images} ")
    table = harm_table(analysis, "grata")
    rows = [r for r in table.rows if r.keys["source"] == "ORIGA" and r.keys["method"] == method]
    column = [c.name for c in table.columns].index("worse")
    assert sum(row.cells[column].value for row in rows) == worse


def test_tests_name_their_baseline_and_bold_small_p(analysis):
    table = comparison_table(analysis, "grata")
    row = found(table, method="GraTa", source="REFUGE", stream="ORIGA", baseline="No Adapt")
    assert row["low"].value <= row["difference"].value <= row["high"].value
    for line in table.rows:
        cells = dict(zip([c.name for c in table.columns], line.cells, strict=True))
        assert cells["p_holm"].best == (cells["p_holm"].value < 0.05)
        assert cells["p_holm"].value >= cells["p"].value


def test_single_seeds(analysis, plain_rows):
    table = cells_table(analysis, "grata")
    assert len(table.rows) == 2 * 2 * 4 * 2
    row = found(table, method="TENT", source="ORIGA", target="REFUGE", seed=1)
    own = [
        float(r["dice_cup"])
        for r in plain_rows
        if (r["method"], r["source"], r["target"], r["seed"]) == ("TENT", "ORIGA", "REFUGE", "1")
    ]
    assert row["dice_cup"].value == pytest.approx(statistics.fmean(own))


def test_filters_know_the_rows(analysis):
    for row in target_table(analysis, "grata").rows:
        assert row.keys["source"] == row.cells[0].value
        assert row.keys["target"] == row.cells[1].value
        assert row.keys["method"] == row.cells[2].value


def test_rounds_have_rows_of_their_own(make_run):
    run = make_run(protocols=("vptta",), sources=("A",), rounds=2, images=1, pictures=False)
    analysis = analyse(read_run(run))
    table = overview_table(analysis, "vptta")
    assert [column.name for column in table.columns][:2] == ["method", "round"]
    assert [row.cells[1].value for row in table.rows[:2]] == [1, 2]
    assert len(table.rows) == 8


def test_a_joint_stream_is_averaged_over_images(make_run):
    run = make_run(protocols=("vptta",), sources=("A",), images=2, seeds=(0,), pictures=False)
    # three targets, the last with one image only
    lines = (run / "rows.csv").read_text().splitlines()
    (run / "rows.csv").write_text("\n".join(x for x in lines if "Drishti_GS-001" not in x))
    with (run / "rows.csv").open(newline="") as file:
        own = [r for r in csv.DictReader(file) if r["method"] == "GraTa"]
    assert len(own) == 5
    scores = [(float(r["dice_disc"]) + float(r["dice_cup"])) / 2 for r in own]
    table = overview_table(analyse(read_run(run)), "vptta")
    assert found(table, method="GraTa")["A"].value == pytest.approx(statistics.fmean(scores))


def test_without_a_baseline_there_is_nothing_to_compare(make_run):
    run = make_run(methods=(("GraTa", "grata", {}),), images=1, pictures=False)
    analysis = analyse(read_run(run))
    assert comparison_table(analysis, "grata") is None
    assert harm_table(analysis, "grata") is None
    names = [column.name for column in overview_table(analysis, "grata").columns]
    assert "change" not in names
    names = [column.name for column in source_table(analysis, "grata").columns]
    assert "worse" not in names
