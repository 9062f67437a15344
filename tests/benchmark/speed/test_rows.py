# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers of a row, tables and files of all rows."""

from __future__ import annotations

import csv
import json
import math

import pytest
import torch

from grata_monai.benchmark.speed import hardware
from grata_monai.benchmark.speed.hardware import Hardware
from grata_monai.benchmark.speed.report import Report
from grata_monai.benchmark.speed.requirements import parse_requirement
from grata_monai.benchmark.speed.rows import Row
from grata_monai.benchmark.speed.table import stage_table, time_table


def full_row():
    return Row(
        "grata",
        256,
        "fast",
        seconds=[2.0, 1.0, 4.0],
        baseline=[6.0, 5.0, 4.0],
        memory_mib=812.4,
        probability_difference=2e-3,
        operations=6e9,
        peak=1e10,
        stages={"rest": 1.0, "backward": 3.0},
    )


@pytest.fixture
def report():
    failed = Row("tent", 256, "fast", note="failed: no memory", failed=True)
    return Report(Hardware.of(torch.device("cpu")), [full_row(), failed])


def test_numbers_of_a_row():
    row = full_row()
    assert (row.median, row.ratio) == (2.0, 2.5)
    assert row.ratio_range == (1.0, 5.0)  # 4/4 and 5/1
    assert row.peak_share == pytest.approx(0.3)  # 6e9 operations in 2 s of 1e10 per second
    assert row.stage_shares == {"rest": 0.25, "backward": 0.75}


@pytest.mark.parametrize(("seconds", "slower"), [(1.0, False), (1.02, False), (1.03, True)])
def test_slower_is_what_is_so_beyond_noise(seconds, slower):
    assert Row("m", 1, "p", seconds=[seconds], baseline=[1.0]).slower is slower


def test_a_row_without_numbers():
    row = Row("m", 1, "p")
    assert all(map(math.isnan, (row.median, row.ratio, row.peak_share, *row.ratio_range)))
    assert not row.slower
    assert row.stage_shares == {}
    missing = {name for name, value in row.as_dict().items() if value is None}
    assert {"ratio", "median_seconds", "memory_mib", "peak_share"} <= missing
    json.dumps(row.as_dict(), allow_nan=False)


def test_tables():
    slow = Row("grata", 256, "exact", seconds=[8.0], baseline=[4.0])
    head, first, second, third = time_table(
        [full_row(), slow, Row("x", 1, "y"), Row("dua", 256, "fast", note="no such thing")]
    ).splitlines()
    assert head.split()[:4] == ["method", "px", "path", "s/image"]
    expected = "grata 256 fast 2.000 1.000..4.000 2.50 1.00..5.00 812 2.0e-03 30%"
    assert first.split() == expected.split()
    assert second.split()[-4:] == ["-", "-", "-", "SLOWER"]
    assert third.split()[:4] == ["dua", "256", "fast", "-"]
    assert third.endswith("no such thing")
    assert [line.split() for line in stage_table([full_row(), slow]).splitlines()] == [
        ["method", "px", "path", "backward", "rest"],  # in the order of a step
        ["grata", "256", "fast", "75.0%", "25.0%"],
    ]
    assert time_table([]) == stage_table([slow]) == ""


def test_text_and_failures(report):
    text = str(report)
    assert "2 cores" in text.replace(f"{report.hardware.cores} cores", "2 cores")
    assert "Share of each stage" in text
    assert report.failures() == ["tent at 256 px on fast failed: no memory"]
    assert report.failures([parse_requirement("grata:fast>=3")])[1:] == [
        "grata:fast>=3 is not met: at 256 px the ratio is 2.50."
    ]


def test_files(report, tmp_path):
    report.write(tmp_path / "new" / "rows.json")
    content = json.loads((tmp_path / "new" / "rows.json").read_text())
    assert content["hardware"]["torch_version"] == torch.__version__
    assert content["rows"][0] == json.loads(json.dumps(full_row().as_dict()))
    report.write(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open() as file:
        first, second = csv.DictReader(file)
    assert (first["ratio"], first["seconds"], first["stage_backward"]) == ("2.5", "2 1 4", "3.0")
    assert (second["ratio"], second["failed"], second["stage_backward"]) == ("", "True", "")
    with pytest.raises(ValueError, match=r"must end in .json or .csv. Got .*rows.txt"):
        report.write(tmp_path / "rows.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "rows.csv"]


def test_hardware_that_does_not_tell(monkeypatch, cpu):
    def nothing(path):
        raise OSError

    known = Hardware.of(cpu)
    assert known.memory_gib > 0
    monkeypatch.setattr(hardware, "_read", nothing)
    unknown = Hardware.of(cpu)
    assert unknown.as_dict()["memory_gib"] is None
    assert unknown.cpu
    assert f"{known.threads} threads" in str(known)
