# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai adapt``: what it writes, prints and refuses."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from click.testing import CliRunner

from grata_monai import execution
from grata_monai.cli.main import main
from grata_monai.data import write_synthetic_domain

SIZE = 64


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fundus")
    write_synthetic_domain(folder, "Synthetic_A", images=2, size=SIZE, seed=0)
    return folder


@pytest.fixture
def run(weights, tmp_path):
    def run(*arguments):
        fixed = ["--weights", weights, "--output", tmp_path / "out # 1", "--size", SIZE]
        fixed += ["--device", "cpu"]
        return CliRunner().invoke(main, ["adapt", *map(str, [*fixed, *arguments])])

    return run


def test_a_domain_with_masks_ends_in_a_table(run, root, tmp_path):
    result = run(root, "--method", "tent", "--beta", "1e-3", "--life-cycle", "per_image")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "out # 1"
    assert f"Wrote the results to {folder}" in result.output
    assert len(list((folder / "predictions").glob("*_overlay.png"))) == 2
    assert (pd.read_csv(folder / "trace.csv")["learning_rate"] == 1e-3).all()
    disc, cup = pd.read_csv(folder / "val_mean_dice_raw.csv")[["class0", "class1"]].mean() * 100
    row = next(line for line in result.output.splitlines() if line.startswith("Dice [points]"))
    shown = [float(cell) for cell in row.removeprefix("Dice [points]").split()]
    assert shown == pytest.approx([disc, cup, (disc + cup) / 2, 2], abs=0.005)


def test_a_photograph_without_mask_has_no_table(run, root, tmp_path):
    photograph = next(root.rglob("image/*.png"))
    result = run(photograph, "--method", "source")
    assert result.exit_code == 0, result.output
    assert "Dice" not in result.output
    assert (tmp_path / "out # 1" / "predictions" / f"{photograph.stem}_seg.nii.gz").is_file()


def test_options_of_the_method(run, root, tmp_path):
    options = ["--option", "adapter=tent", "--option", "trust=4", "--beta", "1e-3"]
    result = run(root, "--method", "statistics_choice", *options)
    assert result.exit_code == 0, result.output
    trace = pd.read_csv(tmp_path / "out # 1" / "trace.csv")
    assert (trace["learning_rate"] == 1e-3).all()
    weights = trace[["weight_colors", "weight_mixture", "weight_method"]].sum(axis=1)
    assert weights.to_numpy() == pytest.approx(1.0, abs=1e-5)


def test_an_option_without_a_value(run, root):
    result = run(root, "--option", "mapping")
    assert result.exit_code == 2
    assert "'mapping' is not NAME=VALUE" in result.output


def test_how_the_network_is_run(run, root, tmp_path):
    defaults = {"precision": "fp32", "compile": False, "checkpoint": False}
    chosen = {"precision": "bf16", "checkpoint": True}
    photograph = next(root.rglob("image/*.png"))
    for options, expected in (
        ([], {}),
        (["--precision", "bf16", "--checkpoint", "--overwrite"], chosen),
    ):
        result = run(photograph, "--method", "source", *options)
        assert result.exit_code == 0, result.output
        settings = json.loads((tmp_path / "out # 1" / "settings.json").read_text())
        assert settings.items() >= (defaults | expected).items()


def test_fast_is_the_precision_of_the_device(run, root, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(execution, "fast_precision", lambda device: asked.append(device) or "bf16")
    result = run(next(root.rglob("image/*.png")), "--method", "source", "--fast")
    assert result.exit_code == 0, result.output
    assert set(map(str, asked)) == {"cpu"}
    settings = json.loads((tmp_path / "out # 1" / "settings.json").read_text())
    assert settings["precision"] == "bf16"


def test_fast_and_a_precision_are_not_both(run, root, tmp_path):
    result = run(root, "--fast", "--precision", "fp32")
    assert result.exit_code == 2
    assert "--fast chooses the precision; give it or --precision, not both." in result.output
    assert not (tmp_path / "out # 1").exists()


def test_an_unknown_precision(run, root):
    result = run(root, "--precision", "fp16")
    assert result.exit_code == 2
    assert "'fp16' is not one of 'fp32', 'tf32', 'bf16'" in result.output


def test_compile_reaches_the_network(run, root, monkeypatch):
    """Where it cannot be had, the user is told; so the option arrived."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    result = run(next(root.rglob("image/*.png")), "--method", "source", "--compile")
    assert result.exit_code == 1
    assert result.output.startswith("Error: compile=True needs a C++ compiler")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "grate"], "did you mean 'grata'"),
        (["--weights", "nowhere.pt"], "There are no weights"),
        (["--domain", "Synthetic_C"], "has no domain 'Synthetic_C'"),
        (["--size", "100"], "multiple of 32"),
        (["--life-cycle", "weekly"], "'life_cycle' parameter of GraTa"),
    ],
)
def test_a_users_mistake_is_one_line(run, root, arguments, message):
    result = run(root, *arguments)
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    assert message in lines[0]


def test_missing_data(run, tmp_path):
    result = run(tmp_path / "nowhere")
    assert result.exit_code == 1
    assert "does not exist" in result.output
