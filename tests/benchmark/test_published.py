# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The published numbers are consistent with themselves and with the presets' names."""

from __future__ import annotations

import math

import pytest

from grata_monai.benchmark.presets import PRESETS, preset
from grata_monai.benchmark.published import (
    CONTINUAL_ROUNDS,
    LETTERS,
    PUBLISHED_PRESETS,
    domain_letter,
    published,
)


@pytest.mark.parametrize("name", PRESETS)
def test_names_are_those_of_the_preset(name):
    table = published(name)
    assert table.empty is (name not in PUBLISHED_PRESETS)
    assert set(table.index) <= {method.name for method in preset(name).methods}


@pytest.mark.parametrize("name", ["paper-table1", "paper-table2", "continual"])
def test_averages_are_the_means_of_the_domains(name):
    table = published(name)
    for method, row in table.iterrows():
        mean = row[list(LETTERS)].mean()
        assert row["average"] == pytest.approx(mean, abs=0.011), method


def test_the_paper_says_what_it_gains():
    """Text of the paper: alignment +2.14 and the dynamic rate +2.81 (Table 2)."""
    average = published("paper-table2")["average"]
    assert average["con aligned beta"] - average["con beta"] == pytest.approx(2.14)
    assert average["GraTa"] - average["con aligned beta"] == pytest.approx(2.81)


def test_table_5_agrees_with_the_others():
    pairs = published("paper-table5")["average"]
    assert len(pairs) == 30
    assert pairs["pse con / aux ent"] == published("paper-table1").loc["GraTa", "average"]
    assert pairs["pse ent / aux con"] == published("paper-table3").loc["ent aligned eta", "average"]
    assert pairs["pse den / aux rot"] == 71.65


def test_tent_is_the_row_of_table_3():
    first = published("paper-table3").loc["ent beta"]
    assert first.equals(published("paper-table1").loc["TENT"].rename("ent beta"))
    assert math.isnan(published("paper-table4").loc["GraTa relu", "A"])


def test_first_round_is_the_continual_average():
    table = published("continual")["average"]
    assert {name: rounds[0] for name, rounds in CONTINUAL_ROUNDS.items()} == table.to_dict()


def test_letters():
    assert [domain_letter(n) for n in ("RIM_ONE_r3", "REFUGE", "REFUGE_Valid", "Mine")] == [
        "A",
        "B",
        "D",
        "",
    ]
