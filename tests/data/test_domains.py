# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The records of the published benchmark's domains."""

from __future__ import annotations

import dataclasses

import pytest

from grata_monai.data import DOMAINS, domain


def test_records_agree_with_the_papers_table():
    table = [(record.letter, record.name, record.images) for record in DOMAINS.values()]
    assert table == [
        ("A", "RIM_ONE_r3", 159),
        ("B", "REFUGE", 400),
        ("C", "ORIGA", 650),
        ("D", "REFUGE_Valid", 800),
        ("E", "Drishti_GS", 101),
    ]


def test_lists_are_train_then_test_except_for_refuge_valid():
    assert domain("REFUGE_Valid").csv_files == ("REFUGE_Valid.csv",)
    for name in set(DOMAINS) - {"REFUGE_Valid"}:
        assert domain(name).csv_files == (f"{name}_train.csv", f"{name}_test.csv")


def test_every_domain_has_a_title_and_terms():
    assert all(record.title and record.terms.endswith(".") for record in DOMAINS.values())


def test_unknown_name_suggests_the_closest():
    with pytest.raises(ValueError, match=r"did you mean 'Drishti_GS'\?"):
        domain("Drishti-GS")


def test_records_and_mapping_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError, match="images"):
        domain("ORIGA").images = 1
    with pytest.raises(TypeError, match="item assignment"):
        DOMAINS["ORIGA"] = None
