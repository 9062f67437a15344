# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of ``grata-monai report``."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from grata_monai.cli.main import main
from tests.report.synthetic_run import write_run

PROBE = """
import sys
from grata_monai.report import write_report
import grata_monai.report.figures
heavy = {"torch", "monai"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""


@pytest.fixture
def run(tmp_path):
    return write_run(
        tmp_path / "run", sources=("A",), targets=("B",), images=1, seeds=(0,), size=32
    )


def report(*arguments):
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def test_everything_is_written_beside_the_run(run):
    result = report(run)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("The run is complete: 4 cells, 4 rows.\n")
    assert (run / "report" / "report.html").stat().st_size > 50_000
    for suffix in ("md", "tex", "csv"):
        assert (run / "report" / "tables" / f"overview_grata.{suffix}").is_file()
    for suffix in ("png", "pdf"):
        assert (run / "report" / "figures" / f"panel.{suffix}").is_file()


def test_another_folder_without_figures(run, tmp_path):
    result = report(run, "--output", tmp_path / "out", "--no-figures", "--max-images", 0)
    assert result.exit_code == 0, result.output
    assert "figures" not in result.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.html", "tables"]
    assert not (run / "report").exists()


def test_a_run_that_is_not_complete(tmp_path):
    run = write_run(tmp_path / "run", sources=("A",), images=1, skip_cells=5, pictures=False)
    result = report(run, "--no-figures")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("The run is NOT COMPLETE: 19 of 24 cells have ended")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "There is no folder "),
        (lambda folder: folder.mkdir(), "no plan.json; give the folder that"),
        (lambda folder: write_run(folder, skip_cells=99), "has no scored image yet"),
    ],
)
def test_what_is_no_run_ends_in_one_line(tmp_path, make, message):
    make(tmp_path / "run")
    result = report(tmp_path / "run")
    assert result.exit_code == 1
    assert message in result.output
    assert result.output.count("\n") == 1
    assert not (tmp_path / "run" / "report").exists()


def test_a_negative_number_of_images(run):
    result = report(run, "--max-images", -1)
    assert result.exit_code == 2
    assert "--max-images" in result.output


@pytest.mark.parametrize("name", ["matplotlib", "jinja2"])
def test_a_missing_package_is_named(run, monkeypatch, name):
    for module in [m for m in sys.modules if m.startswith(("grata_monai.report", name))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    result = report(run)
    assert result.exit_code == 1
    assert f"The report needs {name}, which is not installed: pip install" in result.output


def test_no_torch_is_loaded():
    command = [sys.executable, "-c", PROBE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
