# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Files and messages, whatever names they hold and whatever a path leads to."""

from __future__ import annotations

import csv
import json
import os
import sys

import pytest

from grata_monai._files import atomic_path, sha256_of, write_csv, write_text
from grata_monai._messages import one_line
from grata_monai.data import read_csv_rows
from grata_monai.imaging import read_mask, read_photograph
from grata_monai.networks import load_source_weights

LATIN = os.fsdecode(b"image\xe9.png")
posix = pytest.mark.skipif(sys.platform == "win32", reason="names and pipes of POSIX")


@posix
def test_names_that_are_not_utf8_become_escapes(tmp_path):
    write_text(tmp_path / "a.txt", f"{LATIN}\r\nü\n")
    assert (tmp_path / "a.txt").read_bytes() == "image\\udce9.png\r\nü\n".encode()
    write_text(tmp_path / "a.json", json.dumps(LATIN, ensure_ascii=False))
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == LATIN


def test_a_table_reads_back_as_it_was(tmp_path):
    rows = [["image", "n"], ["Doe, Jane.png", "1"], ['a "b"\n.png', "2"]]
    write_csv(tmp_path / "a.csv", rows)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == rows


def test_numbers_keep_all_digits_and_what_is_no_number_stays_empty(tmp_path):
    write_csv(tmp_path / "a.csv", [["a", "b", "c", "d"], [0.1 + 0.2, float("nan"), None, 3]])
    assert (tmp_path / "a.csv").read_text() == "a,b,c,d\n0.30000000000000004,,,3\n"


def test_content_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    seen = []

    def fsync(handle):
        seen.append((os.fstat(handle).st_size, (tmp_path / "a.txt").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a.txt", "four")
    assert seen == [(4, False)]


def test_a_disk_that_fails_late_leaves_the_old_content(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("old")

    def fsync(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with (
        pytest.raises(OSError, match=r"No space left on device: .*a\.txt"),
        atomic_path(tmp_path / "a.txt") as temporary,
    ):
        temporary.write_text("new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


@posix
@pytest.mark.parametrize(
    "read", [read_photograph, read_mask, sha256_of, read_csv_rows, load_source_weights]
)
@pytest.mark.parametrize("name", ["pipe.png", "pipe.dcm"])
def test_nobody_waits_for_a_pipe(tmp_path, read, name):
    os.mkfifo(tmp_path / name)
    arguments = (None,) if read is load_source_weights else ()
    with pytest.raises((OSError, ValueError), match=rf"{name} is no regular file|cannot be read"):
        read(*arguments, tmp_path / name)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("plain ü 眼 .png", "plain ü 眼 .png"),
        ("two\n  lines\r\n", "two lines"),
        ("clear\x1b[2Jed \x07", "clear\\x1b[2Jed \\x07"),
        ("gpj\u202egnp", "gpj\\u202egnp"),
        (LATIN, "image\\udce9.png"),
        (ValueError("a\nb"), "a b"),
        (ValueError(), "ValueError"),
        ("", ""),
    ],
)
def test_one_line(message, line):
    assert one_line(message) == line
