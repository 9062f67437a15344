# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Which images are whose: all of them, each once, in order, and no data set torn apart."""

from __future__ import annotations

from itertools import groupby

import pytest

from grata_monai.adapters import build_adapter
from grata_monai.bundle import Share, own_share
from grata_monai.bundle.sharing import _part


def datalist(*sizes):
    """Data sets of so many images, one after the other."""
    return [
        {"image": f"{name}{i}.png", "domain": name}
        for name, size in zip("ABCDEFGH", sizes, strict=False)
        for i in range(size)
    ]


def parts(items, count, life_cycle, *, per_rank_streams=False):
    adapter = build_adapter("tent", life_cycle=life_cycle)
    settings = {"count": count, "per_rank_streams": per_rank_streams}
    return [_part(items, adapter, rank=rank, **settings) for rank in range(count)]


def expect_whole(items, shares):
    assert [item for share in shares for item in share.items] == items
    for share in shares:
        assert share.items == items[share.first : share.first + len(share.items)] != []


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("sizes", [(7,), (8,), (30,), (1, 6, 2), (3, 1, 1, 1, 1, 1, 1, 1)])
def test_images_that_do_not_depend_on_each_other(count, sizes):
    items = datalist(*sizes)
    by_image = parts(items, count, "per_image")
    expect_whole(items, by_image)
    lengths = [len(share.items) for share in by_image]
    assert max(lengths) - min(lengths) <= 1
    assert parts(items, count, "per_dataset", per_rank_streams=True) == by_image
    assert parts(items, count, "never", per_rank_streams=True) == by_image


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (5, 2, 9, 1), (2, 3, 1, 4, 6, 1, 8)])
def test_data_sets_that_do_not_depend_on_each_other(count, sizes):
    items = datalist(*sizes)
    shares = parts(items, count, "per_dataset")
    expect_whole(items, shares)
    held = [[name for name, _ in groupby(s.items, lambda item: item["domain"])] for s in shares]
    assert sum(map(len, held)) == len(sizes)  # none is in two shares
    assert max(map(len, held)) - min(map(len, held)) <= 1


def test_a_data_set_that_comes_again_is_another_one():
    items = datalist(2) + datalist(0, 1) + datalist(2)
    assert [len(share.items) for share in parts(items, 3, "per_dataset")] == [2, 1, 2]


@pytest.mark.parametrize(
    ("life_cycle", "sizes"), [("per_dataset", (9,)), ("per_dataset", (4, 5)), ("never", (3, 3, 3))]
)
def test_images_that_depend_on_each_other_are_refused(life_cycle, sizes):
    with pytest.raises(ValueError, match="depends on those before it, so that 3 processes") as e:
        parts(datalist(*sizes), 3, life_cycle)
    for cure in ("--life_cycle per_image", "--domain", "--per_rank_streams True"):
        assert cure in str(e.value)


def test_images_without_the_name_of_a_data_set_are_of_one():
    items = [{"image": f"{i}.png"} for i in range(4)]
    expect_whole(items, parts(items, 2, "per_image"))
    with pytest.raises(ValueError, match="4 images of 1 data sets"):
        parts(items, 2, "per_dataset")


def test_more_processes_than_images():
    with pytest.raises(ValueError, match="4 processes are too many for 3 images; use fewer"):
        parts(datalist(3), 4, "per_image")


def test_one_process_has_all():
    items = datalist(2, 3)
    assert own_share(items, build_adapter("tent")) == Share(items, 0)


def test_a_flag_that_is_none():
    with pytest.raises(SystemExit, match=r"^Error: The 'per_rank_streams' parameter .*Got 'true'"):
        own_share(datalist(1), build_adapter("tent"), per_rank_streams="true")
