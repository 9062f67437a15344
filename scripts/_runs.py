# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Runs of the inference config, for scripts that disturb them: inputs, commands, results."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
CONFIG = HERE / "bundles/grata/configs/inference.json"
sys.path.insert(0, str(HERE))

DOMAIN = "Synthetic_A"
STATE = "run.state.pt"
UNTIMED = ("timing.csv", ".lock", STATE)  # differ from run to run; the state holds the times, too


def write_images(folder: Path, *, images: int, size: int, seed: int = 1) -> list[Path]:
    """Write photographs and masks in two folders, and return the photographs in their order."""
    from grata_monai.data import write_synthetic_domain

    write_synthetic_domain(folder / "painted", DOMAIN, images=images, size=size, seed=seed)
    for kind in ("image", "mask"):
        (folder / kind).mkdir()
        for path in sorted((folder / "painted").rglob(f"{kind}/*.png")):
            path.rename(folder / kind / path.name)
    return sorted((folder / "image").iterdir())


def train_source(folder: Path, *, size: int) -> Path:
    """Train a source model for a quarter of a minute: enough to tell noise from a fundus."""
    import logging

    from grata_monai.bundle import run_workflow
    from grata_monai.data import write_synthetic_domain

    write_synthetic_domain(folder / "training", DOMAIN, images=40, size=size, seed=0)
    logging.disable(logging.INFO)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            run_workflow(
                "train",
                dataset_dir=folder / "training",
                domain=DOMAIN,
                ckpt_dir=folder,
                output_dir=folder,
                image_size=size,
                epochs=8,
                learning_rate=0.01,
                momentum=0.9,
                val_interval=8,
                num_workers=0,
                device="cpu",
            )
    finally:
        logging.disable(logging.NOTSET)
    return folder / "model.pt"


def command(data: Path, weights: Path, output: Path, **settings: object) -> list[str]:
    """Return the command that segments a data set, as users type it, with steps that one sees."""
    from grata_monai.adapters import ADAPTERS

    settings = {"device": "cpu", "method": "grata", "save_every": 2} | settings
    if "beta" in ADAPTERS[settings["method"]].parameter_names():
        settings = {"beta": 1e-2} | settings
    paths = {"dataset_dir": data, "weights": weights, "output_dir": output}
    flags = [part for key, value in (paths | settings).items() for part in (f"--{key}", str(value))]
    return [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(CONFIG), *flags]


def start(words: list[str], log: Path, **kwargs: object) -> subprocess.Popen[bytes]:
    """Start a command with one thread; what it prints goes to the end of a file."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
    with log.open("ab") as file:
        return subprocess.Popen(
            words, stdout=file, stderr=file, env={**os.environ, **threads}, **kwargs
        )


def contents(folder: Path, *, without: tuple[str, ...] = UNTIMED) -> dict[str, bytes]:
    """Return the bytes of all files below a folder, by their names."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in without
    }


def different(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """Return the names of files that are missing, too many or not the same in every byte."""
    names = sorted(expected.keys() | found.keys())
    return [name for name in names if expected.get(name) != found.get(name)]
