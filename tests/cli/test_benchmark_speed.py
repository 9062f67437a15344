# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai benchmark speed``: options, output, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from grata_monai.benchmark import speed
from grata_monai.benchmark.speed import PATH_WORDS, Report, Request, Row, roofline
from grata_monai.benchmark.speed.hardware import Hardware
from grata_monai.cli.main import main

SCRIPT = Path(__file__).parents[2] / "scripts" / "time_methods.py"


def command(*arguments):
    return CliRunner().invoke(main, ["benchmark", "speed", *map(str, arguments)])


@pytest.fixture
def asked(monkeypatch):
    """Requests that arrive; each is answered with one row, twice as fast as the textbook."""
    requests = []

    def measure(request, *, progress, so_far):
        requests.append(request)
        row = Row("grata", 512, "exact", seconds=[1.0], baseline=[2.0])
        report = Report(Hardware.of(torch.device("cpu")), [row])
        so_far(report)
        return report

    monkeypatch.setattr(speed, "measure", measure)
    return requests


def test_help_tells_every_path():
    result = command("--help")
    assert result.exit_code == 0
    for word in PATH_WORDS:
        assert f" {word}" in result.output
    group = CliRunner().invoke(main, ["benchmark", "--help"])
    assert "speed    Time methods here, beside their textbook form." in group.output


def test_defaults_are_those_of_a_request(asked):
    result = command()
    assert result.exit_code == 0, result.output
    assert asked == [Request()]
    assert "grata   512  exact    1.000  1.000..1.000   2.00" in result.output


def test_options_and_file(asked, tmp_path):
    out = tmp_path / "new" / "rows.json"
    arguments = ["--methods", "grata, tent", "--paths", "textbook,exact,fast+compile"]
    arguments += ["--sizes", "512,128", "--repeats", 5, "--warmup", 2, "--seed", 4, "--no-stages"]
    arguments += ["--images", "photographs", "--domain", "REFUGE", "--roi-size", 600]
    arguments += ["--weights", "model.pt", "--device", "cpu", "--require", "grata:exact@512>=1.3"]
    result = command(*arguments, "--out", out)
    assert result.exit_code == 0, result.output
    assert f"Wrote {out}" in result.output
    assert json.loads(out.read_text())["rows"][0]["ratio"] == 2.0
    assert asked == [
        Request(
            methods=("grata", "tent"),
            paths=("textbook", "exact", "fast+compile"),
            sizes=(512, 128),
            repeats=5,
            warmup=2,
            seed=4,
            stages=False,
            images=Path("photographs"),
            domain="REFUGE",
            roi_size=600,
            weights=Path("model.pt"),
            device="cpu",
            requirements=("grata:exact@512>=1.3",),
        )
    ]


def test_a_ratio_that_is_not_reached(asked):
    required = ["--sizes", 512, "--require", "grata:exact>=2", "--require"]
    result = command(*required, "grata:exact@512>=2.5")
    assert result.exit_code == 1
    assert "grata:exact@512>=2.5 is not met: at 512 px the ratio is 2.00." in result.output
    assert "grata:exact>=2 is not met" not in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--methods", "gratta"], 1, "did you mean 'grata'"),
        (["--methods", ","], 2, "names nothing"),
        (["--paths", "fsat"], 1, "did you mean 'fast'"),
        (["--paths", "compile+checkpoint"], 1, "compile"),
        (["--sizes", "100"], 1, "multiples of 32"),
        (["--sizes", "big"], 2, "must be whole numbers such as 256,512. Got 'big'"),
        (["--repeats", 0], 2, "--repeats"),
        (["--require", "grata:exact"], 1, "METHOD:PATH>=RATIO"),
        (["--require", "tent:exact>=1"], 1, "must be one of grata"),
        (["--out", "rows.txt"], 1, "must end in .json or .csv"),
    ],
)
def test_a_users_mistake(asked, arguments, code, message):
    result = command(*arguments)
    assert result.exit_code == code
    assert message in result.output
    assert "Traceback" not in result.output
    assert not asked


def test_files_that_are_missing(tmp_path):
    for option in ("--images", "--weights"):
        result = command(option, tmp_path / "none.pt", "--device", "cpu", "--sizes", 32)
        assert result.exit_code == 1
        assert "none.pt" in result.output


def test_the_whole_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(roofline, "_SIDES", {"cpu": 16})
    out = tmp_path / "rows.csv"
    arguments = ["--methods", "ptbn", "--paths", "textbook,exact", "--sizes", 64]
    result = command(*arguments, "--repeats", 1, "--device", "cpu", "--out", out)
    assert result.exit_code == 0, result.output
    assert "Share of each stage" in result.output
    assert len(out.read_text().splitlines()) == 1 + 2


def test_the_script_is_the_command(tmp_path):
    found = subprocess.run(
        [sys.executable, SCRIPT, "--repeats", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert "benchmark speed [OPTIONS]" in found.stderr
    assert "'--repeats': 0 is not in the range x>=1" in found.stderr
