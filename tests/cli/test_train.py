# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai train``: source models of one or all domains, and resuming."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner

from grata_monai.cli.main import main
from grata_monai.data import write_synthetic_domain
from grata_monai.networks import available_heads, read_weights, source_network
from grata_monai.training import save_source_weights

SIZE = 64


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fundus")
    for name in ("Synthetic_A", "Synthetic_B"):
        write_synthetic_domain(folder, name, images=3, size=SIZE, seed=0)
    return folder


@pytest.fixture
def run(tmp_path):
    def run(root, *arguments):
        fixed = ["--output", tmp_path / "models", "--size", SIZE, "--epochs", 1]
        fixed += ["--batch-size", 2, "--workers", 0, "--device", "cpu"]
        return CliRunner().invoke(main, ["train", *map(str, [root, *fixed, *arguments])])

    return run


def test_all_domains_by_default_and_a_resumed_run_leaves_complete_ones(run, root, tmp_path):
    result = run(root, "--heads", "rotation, denoising")
    assert result.exit_code == 0, result.output
    models = [tmp_path / "models" / name / "model.pt" for name in ("Synthetic_A", "Synthetic_B")]
    for model in models:
        assert f"Wrote {model}" in result.output
        assert sorted(available_heads(model)) == ["denoising", "rotation"]
    assert result.output.count("Dice [points]") == 2
    models[1].with_name("last.pt").unlink()
    times = [model.stat().st_mtime_ns for model in models]
    result = run(root, "--heads", "rotation,denoising", "--resume")
    assert result.exit_code == 0, result.output
    assert models[0].stat().st_mtime_ns == times[0]
    assert models[1].stat().st_mtime_ns > times[1]


def test_only_the_heads_of_an_existing_source_model(run, root, tmp_path):
    source = tmp_path / "source.pt"
    torch.manual_seed(0)
    save_source_weights(source_network(), source)
    only = ["--domain", "Synthetic_A", "--heads-only", "--heads", "rotation"]
    result = run(root, *only, "--encoder-weights", source)
    assert result.exit_code == 0, result.output
    model = tmp_path / "models" / "Synthetic_A" / "model.pt"
    assert available_heads(model) == ("rotation",)
    assert "Dice" not in result.output
    before, after = (read_weights(path).state_dict for path in (source, model))
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_the_roi_size_reaches_the_training_and_is_kept_with_it(run, root, tmp_path):
    result = run(root, "--domain", "Synthetic_A", "--roi-size", 48)
    assert result.exit_code == 0, result.output
    state = torch.load(tmp_path / "models" / "Synthetic_A" / "last.pt", weights_only=True)
    assert state["settings"]["roi_size"] == 48


def test_a_roi_size_of_nothing(run, root):
    result = run(root, "--roi-size", 0)
    assert result.exit_code == 2
    assert "--roi-size" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "'epochs' parameter"),
        (["--domain", "Synthetic_C"], "has no domain 'Synthetic_C'"),
        (["--heads", "rotate"], "did you mean 'rotation'"),
        (["--heads-only"], "say which: --heads"),
        (["--heads-only", "--heads", "rotation"], "--encoder-weights FILE"),
        (["--encoder-weights", "nowhere.pth"], "There is no checkpoint file"),
    ],
)
def test_a_users_mistake_is_one_line(run, root, arguments, message):
    result = run(root, *arguments)
    assert result.exit_code == 1
    assert message in result.output.splitlines()[-1]
    assert "Traceback" not in result.output


def test_a_folder_without_domains(run, tmp_path):
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "has no lists of domains" in result.output
