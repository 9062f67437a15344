# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Means as the protocols take them, over seeds and sources, by hand."""

from __future__ import annotations

import math

import pytest

from grata_monai.benchmark.results import (
    over_seeds,
    read_rows,
    source_means,
    target_means,
    with_average,
)


def value(table, column="dice", **where):
    for name, wanted in where.items():
        table = table[table[name] == wanted]
    assert len(table) == 1
    return table[column].iloc[0]


@pytest.fixture
def rows(table_of):
    """Two targets of different size: means 60 (two images) and 90 (one image)."""

    def rows(protocol, **more):
        images = [("T1", "a", 50.0), ("T1", "b", 70.0), ("T2", "c", 90.0)]
        return table_of(
            [
                {"target": t, "image": i, "dice": d, "method": "m", "protocol": protocol}
                | ({"stream": "T1+T2"} if protocol in {"vptta", "mixed"} else {})
                | more
                for t, i, d in images
            ]
        )

    return rows


@pytest.mark.parametrize("protocol", ["grata", "episodic"])
def test_macro_is_over_targets(rows, protocol):
    means = source_means(rows(protocol))
    assert value(means) == pytest.approx((60 + 90) / 2)
    assert value(means, "images") == 3
    assert value(means, "stream") == "all"


@pytest.mark.parametrize("protocol", ["vptta", "mixed"])
def test_micro_is_over_images(rows, protocol):
    assert value(source_means(rows(protocol))) == pytest.approx((50 + 70 + 90) / 3)


def test_target_means(rows):
    means = target_means(rows("vptta"))
    assert value(means, target="T1") == 60.0
    assert value(means, target="T2") == 90.0


def test_rounds_are_kept_apart(table_of):
    entries = [
        {"image": "a", "dice": d, "method": "m", "protocol": "vptta", "round": r}
        for r, d in ((1, 80.0), (2, 60.0))
    ]
    means = source_means(table_of(entries))
    assert (value(means, round=1), value(means, round=2)) == (80.0, 60.0)


def test_a_failed_image_does_not_count_but_is_counted(table_of):
    entries = [
        {"image": "a", "dice": 80.0, "method": "m"},
        {"image": "b", "dice_disc": math.nan, "method": "m", "error": "broken"},
    ]
    means = source_means(table_of(entries))
    assert value(means) == 80.0
    assert (value(means, "images"), value(means, "failed_images")) == (2, 1)


def test_standard_deviation_is_over_seeds(table_of):
    entries = [
        {"image": image, "dice": dice, "method": "m", "seed": seed}
        for seed, scores in enumerate([(70.0, 80.0), (72.0, 80.0), (80.0, 80.0)])
        for image, dice in zip("ab", scores, strict=True)
    ]
    table = over_seeds(source_means(table_of(entries)))
    seeds = [75.0, 76.0, 80.0]
    mean = sum(seeds) / 3
    deviation = math.sqrt(sum((s - mean) ** 2 for s in seeds) / 2)
    assert value(table) == pytest.approx(mean)
    assert value(table, "dice_std") == pytest.approx(deviation)
    assert (value(table, "seeds"), value(table, "images")) == (3, 6)


def test_one_seed_has_no_deviation(rows):
    assert math.isnan(value(over_seeds(source_means(rows("grata"))), "dice_std"))


def test_the_average_is_over_sources_per_seed(table_of):
    entries = [
        {"image": "a", "dice": 10.0 * seed + dice, "method": "m", "source": source, "seed": seed}
        for seed in (0, 1)
        for source, dice in (("A", 60.0), ("B", 80.0))
    ]
    table = over_seeds(with_average(source_means(table_of(entries))))
    assert value(table, source="average") == 75.0
    assert value(table, "dice_std", source="average") == pytest.approx(math.sqrt(50))


def test_no_average_where_a_source_is_missing(table_of):
    entries = [
        {"image": "a", "method": method, "source": source}
        for source, method in (("A", "m"), ("B", "m"), ("A", "n"))
    ]
    found = with_average(source_means(table_of(entries)))
    assert set(found.loc[found["source"] == "average", "method"]) == {"m"}


def test_no_mean_over_fewer_targets_than_others_have(table_of):
    entries = [
        {"image": "a", "target": target, "dice": dice, "method": method}
        for target, method, dice in (("T1", "m", 90.0), ("T2", "m", 10.0), ("T1", "n", 90.0))
    ]
    entries.append({"image": "a", "target": "T1", "dice": 90.0, "method": "k"})
    entries.append({"image": "a", "target": "T2", "dice": math.nan, "method": "k", "error": "x"})
    means = source_means(table_of(entries))
    assert value(means, method="m") == 50.0
    assert math.isnan(value(means, method="n"))
    assert math.isnan(value(means, method="k"))
    assert value(means, "failed_images", method="k") == 1


def test_no_average_where_a_source_has_no_value(table_of):
    entries = [
        {"image": "a", "dice": dice, "method": "m", "source": source}
        for source, dice in (("A", 90.0), ("B", math.nan))
    ]
    found = with_average(source_means(table_of(entries)))
    assert math.isnan(value(found, source="average"))


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(ValueError, match="no run of the benchmark"):
        read_rows(tmp_path)
