# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Argument checks say parameter, owner, what is allowed and what was given."""

from __future__ import annotations

import pytest

from grata_monai._checks import check_choice, check_number
from grata_monai._files import atomic_path


@pytest.mark.parametrize(
    ("value", "end"),
    [
        ("quadratik", r"Got 'quadratik'; did you mean 'Quadratic'\?"),
        ("QUADRATIC", r"did you mean 'Quadratic'\?"),
        ("zzz", r"Got 'zzz'\."),
        (None, r"Got None\."),
    ],
)
def test_choice(value, end):
    start = r"The 'mapping' parameter of GraTa must be one of Quadratic, linear\. "
    with pytest.raises(ValueError, match=start + ".*" + end):
        check_choice("GraTa", "mapping", value, ["linear", "Quadratic"])
    check_choice("GraTa", "mapping", "linear", ["linear", "Quadratic"])


@pytest.mark.parametrize("value", [-1, 2, "1", None, True, float("nan"), float("inf")])
def test_number(value):
    with pytest.raises(ValueError, match=r"'beta' parameter of Tent must be a number in \[0, 1\]"):
        check_number("Tent", "beta", value, minimum=0, maximum=1)
    check_number("Tent", "beta", 0.5, minimum=0, maximum=1)


def test_integer():
    with pytest.raises(ValueError, match="must be an integer"):
        check_number("Tent", "seed", 0.5, integer=True)


def test_atomic_path_replaces_at_the_end_only(tmp_path):
    target = tmp_path / "new" / "table.csv"
    with atomic_path(target) as temporary:
        temporary.write_text("one")
        assert not target.exists()
        assert temporary.suffix == ".csv"
    assert target.read_text() == "one"

    def fail():
        with atomic_path(target) as temporary:
            temporary.write_text("two")
            raise KeyError("deliberate")

    with pytest.raises(KeyError, match="deliberate"):
        fail()
    assert target.read_text() == "one"
    assert [path.name for path in target.parent.iterdir()] == ["table.csv"]
