# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests, effect sizes, intervals and harm against hand-made tables and independent formulas."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from grata_monai.benchmark.harm import worse_than_no_adapt
from grata_monai.benchmark.pairing import pairs
from grata_monai.benchmark.statistics import (
    bootstrap_interval,
    holm,
    paired_tests,
    rank_biserial,
    wilcoxon_p,
)


def stream(table_of, **methods):
    """Return rows of a stream from the Dice of each method's images."""
    names = {"No_Adapt": "No Adapt"}
    return table_of(
        [
            {"image": f"{index:02d}", "dice": float(dice), "method": names.get(method, method)}
            for method, scores in methods.items()
            for index, dice in enumerate(scores)
        ]
    )


def exact_p(difference):
    """Return Wilcoxon's exact p value by trying all signs (no ties, no zeros)."""
    ranks = np.argsort(np.argsort(np.abs(difference))) + 1
    observed = abs((np.sign(difference) * ranks).sum())
    signs = itertools.product((-1, 1), repeat=len(difference))
    sums = [abs(float(np.dot(sign, ranks))) for sign in signs]
    return np.mean([total >= observed for total in sums])


@pytest.mark.parametrize("seed", range(3))
def test_wilcoxon_against_all_signs(seed):
    difference = np.random.default_rng(seed).normal(0.4, 1.0, size=9)
    assert wilcoxon_p(difference) == pytest.approx(exact_p(difference))


def test_degenerate_differences():
    assert wilcoxon_p(np.zeros(5)) == 1.0
    assert math.isnan(wilcoxon_p(np.array([])))
    assert rank_biserial(np.zeros(3)) == 0.0
    assert math.isnan(rank_biserial(np.array([])))
    assert all(math.isnan(end) for end in bootstrap_interval(np.array([1.0])))
    assert bootstrap_interval(np.full(4, 2.5)) == (2.5, 2.5)


def test_rank_biserial_by_hand():
    # |d| = 1, 2, 2, 4 have the ranks 1, 2.5, 2.5, 4; the second is negative
    assert rank_biserial(np.array([1.0, -2.0, 2.0, 4.0, 0.0])) == pytest.approx(5 / 10)
    assert rank_biserial(np.array([1.0, 3.0])) == 1.0
    assert rank_biserial(np.array([-1.0, -3.0])) == -1.0


def test_holm_by_hand():
    found = holm(np.array([0.04, 0.001, math.nan, 0.03]))
    assert found[[0, 1, 3]] == pytest.approx([0.06, 0.003, 0.06])
    assert math.isnan(found[2])


def test_the_interval_is_near_the_normal_one_and_seeded():
    difference = np.random.default_rng(1).normal(1.0, 2.0, size=200)
    low, high = bootstrap_interval(difference, resamples=4000)
    half = 1.96 * difference.std(ddof=1) / math.sqrt(200)
    assert low == pytest.approx(difference.mean() - half, abs=0.05)
    assert high == pytest.approx(difference.mean() + half, abs=0.05)
    assert bootstrap_interval(difference) == bootstrap_interval(difference)
    assert bootstrap_interval(difference) != bootstrap_interval(difference, seed=1)


def test_every_method_is_compared_with_both_baselines_once(table_of):
    base = np.arange(12.0)
    rows = stream(table_of, No_Adapt=base, PTBN=base + 1, TENT=base + 2, GraTa=base + np.sqrt(base))
    table = paired_tests(rows, resamples=200)
    found = list(zip(table["method"], table["baseline"], strict=True))
    assert found == [
        ("PTBN", "No Adapt"),
        ("TENT", "No Adapt"),
        ("GraTa", "No Adapt"),
        ("TENT", "PTBN"),
        ("GraTa", "PTBN"),
    ]
    assert table["difference"].tolist()[:2] == [1.0, 2.0]
    assert table["p_holm"].to_numpy() == pytest.approx(holm(table["p"].to_numpy()))
    assert (table["p_holm"] >= table["p"]).all()
    assert (table["images"] == 12).all()


def test_families_are_the_streams(table_of):
    rows = table_of(
        [
            {"image": str(i), "target": target, "dice": float(i + gain * i), "method": method}
            for target, shift in (("T1", 1), ("T2", 0))
            for method, gain in (("No Adapt", 0), ("TENT", shift))
            for i in range(1, 9)
        ]
    )
    table = paired_tests(rows, resamples=200).set_index("stream")
    assert table["p"].tolist() == table["p_holm"].tolist()  # one test in each family
    assert table.loc["T1", "p"] == pytest.approx(2 / 2**8)
    assert table.loc["T2", "p"] == 1.0


def test_seeds_are_averaged_not_counted_as_images(table_of):
    rows = table_of(
        [
            {"image": str(i), "dice": dice + i, "method": method, "seed": seed}
            for method, scores in (("No Adapt", (50, 50)), ("TENT", (52, 56)))
            for seed, dice in enumerate(scores)
            for i in range(6)
        ]
    )
    (pair,) = pairs(rows)
    assert len(pair.scores) == 6
    assert pair.difference.tolist() == [4.0] * 6


def test_images_without_a_score_are_missing_and_no_others(table_of):
    rows = table_of(
        [
            {
                "image": str(i),
                "target": t,
                "stream": "A+B",
                "dice": 50.0,
                "method": m,
                "protocol": "vptta",
            }
            | ({"dice": math.nan, "error": "broken"} if (t, i, m) == ("A", 0, "TENT") else {})
            for t in "AB"
            for i in range(3)
            for m in ("No Adapt", "TENT")
        ]
    )
    (pair,) = pairs(rows)
    assert (len(pair.scores), pair.missing) == (5, 1)


def test_no_baseline_no_tests(table_of):
    rows = stream(table_of, TENT=[1, 2], GraTa=[2, 3])
    assert paired_tests(rows).empty
    assert worse_than_no_adapt(rows).empty


def test_harm_by_hand(table_of):
    base = np.full(40, 50.0)
    change = np.zeros(40)
    change[:6] = [-30.0, -3.0, -1.5, -1.0, 0.5, 2.0]
    rows = stream(table_of, No_Adapt=base, TENT=base + change, PTBN=base + 1)
    table = worse_than_no_adapt(rows).set_index("method")
    tent = table.loc["TENT"]
    counts = tent[["worse", "worse_by_margin", "better", "better_by_margin"]]
    assert counts.tolist() == [4, 3, 2, 1]
    assert (tent["worst_drop"], tent["worst_image"]) == (-30.0, "00")
    assert tent["mean_of_worst"] == pytest.approx((-30 - 3) / 2)  # 5 % of 40
    ptbn = table.loc["PTBN"]
    assert (ptbn["worse"], ptbn["worst_drop"], ptbn["worst_image"]) == (0, 0.0, "")
    assert ptbn["mean_of_worst"] == 1.0


def test_statsmodels_missing_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "statsmodels.stats.multitest", None)
    with pytest.raises(ValueError, match=r"pip install 'grata-monai\[benchmark\]'"):
        holm(np.array([0.5]))
