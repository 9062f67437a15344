# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Splits that no official list gives."""

from __future__ import annotations

import pytest

from grata_monai.preparation.splits import even_split, listed_split

NAMES = tuple(f"{number:03d}" for number in range(1, 651))


@pytest.mark.parametrize(("total", "tests"), [(650, 150), (400, 80), (5, 1), (7, 7), (3, 0)])
def test_even_split_counts_and_order(total, tests):
    names = NAMES[:total]
    split = even_split(names, tests)
    assert (len(split["train"]), len(split["test"])) == (total - tests, tests)
    assert sorted(split["train"] + split["test"]) == sorted(names)
    assert list(split["train"]) == sorted(split["train"])


def test_even_split_is_even():
    tests = even_split(NAMES, 150)["test"]
    for start in range(0, 650, 130):
        assert sum(name in tests for name in NAMES[start : start + 130]) == 30


@pytest.mark.parametrize(
    "text",
    [
        "003\n001\n",
        "image\n001.jpg\n003.jpg\n",
        "image,mask\nORIGA/test/image/001.png,x\nORIGA/test/image/003.png,y\n",
        '\ufeff"C:\\data\\001.jpg"\r\nC:\\data\\003.jpg\r\n\r\n',
    ],
)
def test_listed_split(tmp_path, text):
    (tmp_path / "test.txt").write_bytes(text.encode())
    split = listed_split(NAMES[:4], tmp_path / "test.txt")
    assert split == {"train": ("002", "004"), "test": ("001", "003")}


def test_a_list_that_does_not_fit(tmp_path):
    (tmp_path / "t.txt").write_text("001\n9999\n")
    with pytest.raises(ValueError, match=r"t\.txt cannot be .*: line 2: '9999'"):
        listed_split(NAMES, tmp_path / "t.txt")
    (tmp_path / "t.txt").write_text("")
    with pytest.raises(ValueError, match="it lists no images"):
        listed_split(NAMES, tmp_path / "t.txt")
    (tmp_path / "t.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a text file in UTF-8"):
        listed_split(NAMES, tmp_path / "t.txt")
