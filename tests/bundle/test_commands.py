# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The bundle as users run it: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.bundle.conftest import BUNDLE, CONFIGS, DOMAIN, REPOSITORY, SIZE, TRAINING_DOMAIN


def start(*arguments, cwd, module="monai.bundle"):
    """Start a module's command."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", module, *(str(argument) for argument in arguments)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def flags(settings):
    """Settings as MONAI's command line takes them."""
    return [part for key, value in settings.items() for part in (f"--{key}", value)]


@pytest.fixture(scope="module")
def runs(root, weights, tmp_path_factory):
    """Start three runs at once, since most of their time is MONAI's import."""
    settings = {"dataset_dir": root, "domain": DOMAIN, "image_size": SIZE, "method": "tent"}
    folder = tmp_path_factory.mktemp("runs")
    cases = {
        "repository": (REPOSITORY, "bundles/grata/configs/inference.json", weights),
        "bundle": (BUNDLE, "configs/inference.json", weights),
        "no weights": (REPOSITORY, CONFIGS / "inference.json", "nowhere.pt"),
    }
    started = {}
    for name, (cwd, config, path) in cases.items():
        given = {"config_file": config, "weights": path, "output_dir": folder / name, **settings}
        started[name] = start("run", *flags(given), cwd=cwd)
    outputs = {name: process.communicate(timeout=300) for name, process in started.items()}
    return {n: (started[n].returncode, *outputs[n], folder / n) for n in cases}


@pytest.mark.parametrize("where", ["repository", "bundle"])
def test_inference_from(runs, where):
    code, output, errors, folder = runs[where]
    assert code == 0, errors
    assert "Mean scores" in output
    assert len(list((folder / "predictions").glob("*_overlay.png"))) == 2
    assert (folder / "trace.csv").is_file()


def test_missing_weights_end_with_one_line_and_an_exit_code(runs):
    code, output, errors, _ = runs["no weights"]
    assert code == 1
    assert "Traceback" not in output + errors
    assert errors.splitlines()[-1].startswith("Error: There are no weights nowhere.pt")


@pytest.mark.slow
def test_training_and_evaluation_in_two_processes(root, tmp_path):
    shared = {
        "dataset_dir": root,
        "domain": TRAINING_DOMAIN,
        "validation": 0.4,
        "ckpt_dir": tmp_path / "models",
        "output_dir": tmp_path / "eval",
        "image_size": SIZE,
        "epochs": 1,
        "batch_size": 1,
        "num_workers": 0,
        "heads": ["reconstruction"],
    }
    for names in (
        ["train", "multi_gpu_train"],
        ["train", "evaluate", "multi_gpu_evaluate"],
    ):
        files = [str(CONFIGS / f"{name}.json") for name in names]
        process = start(
            "--standalone",
            "--nnodes=1",
            "--nproc_per_node=2",
            "-m",
            "monai.bundle",
            "run",
            "--config_file",
            files,
            *flags(shared),
            cwd=REPOSITORY,
            module="torch.distributed.run",
        )
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert output.count("Mean scores") == 1
    assert (tmp_path / "models" / "model.pt").is_file()
    rows = (tmp_path / "eval" / "val_mean_dice_raw.csv").read_text().splitlines()
    assert len(rows) == 1 + 2
