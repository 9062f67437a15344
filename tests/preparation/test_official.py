# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The published names and splits of the five data sets."""

from __future__ import annotations

import re

import pytest

from grata_monai.data import DOMAINS, natural_key
from grata_monai.preparation.official import official_stems

# Copied from the split lists themselves, not from the package's table.
DRISHTI_TEST = (
    "001 003 005 006 007 009 011 013 014 019 020 021 023 025 027 028 029 030 034 039 043 048 050 "
    "052 053 054 055 056 059 065 067 070 071 072 073 074 077 078 079 082 083 085 086 087 091 093 "
    "095 096 097 099 100"
)
RIM_ONE_TEST_S = "2-L 3-R 4-L 5-L 6-R 7-L 8-R 9-L 29-R 30-L 31-L 32-L 33-R 34-L 35-R"


@pytest.mark.parametrize("name", DOMAINS)
def test_counts_are_those_of_the_benchmark_and_no_name_is_twice(name):
    splits = official_stems(name)
    stems = [stem for part in splits.values() for stem in part]
    assert len(stems) == len(set(stems)) == DOMAINS[name].images
    assert (set(splits) == {"train", "test"}) == (name in {"RIM_ONE_r3", "Drishti_GS"})
    if name != "REFUGE_Valid":
        for part in splits.values():
            assert list(part) == sorted(part, key=natural_key)


def test_split_of_drishti():
    splits = official_stems("Drishti_GS")
    assert " ".join(stem.removeprefix("drishtiGS_") for stem in splits["test"]) == DRISHTI_TEST
    assert {stem[-3:] for part in splits.values() for stem in part} == {
        f"{number:03d}" for number in range(1, 102)
    }


def test_split_of_rim_one():
    splits = official_stems("RIM_ONE_r3")
    assert " ".join(s[2:] for s in splits["test"] if s[0] == "S") == RIM_ONE_TEST_S
    counts = {
        split: [sum(stem[0] == group for stem in part) for group in "NGS"]
        for split, part in splits.items()
    }
    assert counts == {"train": [51, 28, 20], "test": [34, 11, 15]}
    stems = splits["train"] + splits["test"]
    assert all(re.fullmatch(r"[GNS]-\d+-[LR]", stem) for stem in stems)
    assert sum(stem.endswith("R") for stem in stems) == 81
    healthy = {int(stem.split("-")[1]) for stem in stems if stem[0] == "N"}
    assert set(range(1, 93)) - healthy == {15, 19, 45, 57, 60, 77, 89}


def test_numbered_sets():
    refuge = official_stems("REFUGE")[""]
    assert (refuge[0], refuge[39], refuge[40], refuge[-1]) == ("g0001", "g0040", "n0001", "n0360")
    assert official_stems("ORIGA")[""][::649] == ("001", "650")
    valid = official_stems("REFUGE_Valid")[""]
    assert (valid[0], valid[399], valid[400], valid[-1]) == ("V0001", "V0400", "T0001", "T0400")


def test_what_is_returned_can_be_changed_without_harm():
    official_stems("Drishti_GS").clear()
    assert len(official_stems("Drishti_GS")["train"]) == 50


def test_unknown_domain_suggests_the_closest():
    with pytest.raises(ValueError, match=r"did you mean 'Drishti_GS'\?"):
        official_stems("Drishti-GS")
