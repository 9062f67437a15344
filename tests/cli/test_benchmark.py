# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai benchmark``: list, plan, run, status, summary."""

from __future__ import annotations

import json
import re
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from grata_monai.benchmark import PRESETS, read_rows
from grata_monai.cli.benchmark import COMMANDS
from grata_monai.cli.main import main
from grata_monai.data import write_synthetic_domain

SIZE = 64
DOMAINS = ("Synthetic_A", "Synthetic_B")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fundus")
    for name in DOMAINS:
        write_synthetic_domain(folder, name, images=2, size=SIZE, seed=0)
    return folder


@pytest.fixture
def benchmark(root, weights):
    """Run a command with the data, the source model and the size."""

    def benchmark(command, *arguments, preset="smoke"):
        fixed = ["--preset", preset] if preset else []
        fixed += ["--data", root, "--source", f"Synthetic_A={weights}"]
        fixed += ["--size", SIZE, "--device", "cpu"]
        return CliRunner().invoke(main, ["benchmark", command, *map(str, [*fixed, *arguments])])

    return benchmark


@pytest.fixture(scope="module")
def finished(root, weights, tmp_path_factory):
    """A run with two seeds."""
    folder = tmp_path_factory.mktemp("run")
    arguments = ["run", folder, "--preset", "smoke", "--data", root, "--size", SIZE, "--seed", 0]
    arguments += ["--source", f"Synthetic_A={weights}", "--seed", 1, "--device", "cpu"]
    arguments += ["--methods", "No Adapt, TENT"]
    result = CliRunner().invoke(main, ["benchmark", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    assert "4 cells run; rows:" in result.output
    return folder


def test_every_command_of_the_table_exists():
    for location, text in COMMANDS.values():
        module, attribute = location.split(":")
        assert isinstance(getattr(import_module(module), attribute), click.Command)
        assert text.endswith(".")


def test_list_names_presets_purposes_and_methods():
    result = CliRunner().invoke(main, ["benchmark", "list", "--methods"])
    assert result.exit_code == 0
    for name in PRESETS:
        assert re.search(rf"^{name} +\d+ methods  \w", result.output, flags=re.MULTILINE)
    assert "  - GraTa constant mean rate" in result.output


def test_plan_shows_cells_images_and_cost(benchmark):
    result = benchmark("plan", "--seed", 0, "--seed", 7, "--protocol", "mixed", "--rounds", 2)
    assert result.exit_code == 0, result.output
    assert "4 images  mixed__Synthetic_A__Synthetic_B__GraTa__s7" in result.output
    assert "8 cells, 32 images, roughly 0.0 h" in result.output


def test_a_plan_can_be_written_changed_and_run(benchmark, tmp_path, weights):
    grid = tmp_path / "grid.json"
    result = benchmark("plan", "--write-grid", grid, "--methods", "PTBN", preset="paper-table1")
    assert result.exit_code == 0, result.output
    content = json.loads(grid.read_text())
    assert content["sources"] == {"Synthetic_A": str(weights)}
    grid.write_text(json.dumps(content | {"limit": 1}))
    result = benchmark("run", tmp_path / "run", "--grid", grid, "--no-pictures", preset=None)
    assert result.exit_code == 0, result.output
    assert len(read_rows(tmp_path / "run")) == 1


def test_plan_says_which_heads_are_missing(benchmark):
    result = benchmark("plan", "--methods", "DeTTA", preset="paper-table1")
    assert "will fail: Synthetic_A lacks the heads of DeTTA: denoising" in result.output


def test_run_keeps_pictures_and_resumes(benchmark, finished):
    rows = read_rows(finished)
    assert len(rows) == 2 * 2 * 2
    assert all((finished / name).is_file() for name in rows["picture"])
    assert all((finished / name).is_file() for name in rows["prediction"])
    seeds = ["--seed", 0, "--seed", 1]
    again = benchmark("run", finished, "--methods", "No Adapt,TENT", *seeds)
    assert again.exit_code == 0
    assert "0 cells run, 4 were complete before" in again.output
    other = benchmark("run", finished, "--methods", "TENT", "--limit", 1)
    assert other.exit_code == 1
    assert "limit is 4 there and 1 here" in other.output


def test_status_and_summary(finished):
    result = CliRunner().invoke(main, ["benchmark", "status", str(finished)])
    assert "complete      2 of 2     grata__Synthetic_A__Synthetic_B__TENT__s1" in result.output
    assert "4 of 4 cells are complete." in result.output
    result = CliRunner().invoke(main, ["benchmark", "summary", str(finished)])
    assert result.exit_code == 0, result.output
    mean = read_rows(finished).query("method == 'TENT'")["dice"].mean()
    row = next(line for line in result.output.splitlines() if "TENT" in line)
    assert f"{mean:.2f} ± 0.00" in row
    assert "Images worse than No Adapt" in result.output


def test_a_failure_ends_with_code_1_and_its_reason(benchmark, tmp_path):
    grid = tmp_path / "grid.json"
    methods = [
        {"name": "bad", "method": "grata", "options": {"auxiliary": "rotation"}},
        {"name": "PTBN", "method": "ptbn"},
    ]
    grid.write_text(json.dumps({"methods": methods}))
    result = benchmark("run", tmp_path / "run", "--grid", grid, "--no-pictures", preset=None)
    assert result.exit_code == 1
    assert "bad__s0: failed:" in result.output
    assert "no weights for the heads rotation" in result.output
    assert len(read_rows(tmp_path / "run")) == 2
    status = CliRunner().invoke(main, ["benchmark", "status", str(tmp_path / "run")])
    assert "1 of 2 cells are complete." in status.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--methods", "GraTa2"], 1, "did you mean 'GraTa'"),
        (["--protocol", "gratta"], 1, "did you mean 'grata'"),
        (["--methods", ","], 2, "names nothing"),
        (["--source", "weights.pt"], 2, "must be NAME=FILE"),
        (["--source", "Synthetic_A=x.pt"], 2, "names 'Synthetic_A' twice"),
        (["--target", "Synthetic_A"], 1, "nothing to run"),
        (["--size", "100"], 1, "multiple of 32"),
        (["--grid", "grid.json"], 1, "either a preset"),
        (["--jobs", "0"], 2, "--jobs"),
    ],
)
def test_a_users_mistake(benchmark, tmp_path, arguments, code, message):
    result = benchmark("run", tmp_path / "run", *arguments)
    assert result.exit_code == code
    assert message in result.output
    assert not (tmp_path / "run").exists()


def test_reading_what_is_no_run(tmp_path):
    for command in ("status", "summary"):
        result = CliRunner().invoke(main, ["benchmark", command, str(tmp_path)])
        assert result.exit_code == 1
        assert "is no run of the benchmark" in result.output
