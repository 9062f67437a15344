# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Inference that is killed at random moments goes on; in the end there is no difference.

The processes are real ones and die of SIGKILL. They are forked from one that has imported torch,
which takes most of a start; ``scripts/kill_and_resume.py`` does the same with whole commands.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import sys
import time

import pytest
import torch

from grata_monai.adapters.check_tools import expect_same_tensors
from grata_monai.bundle import run_workflow
from grata_monai.data import synthetic_domain, write_synthetic_domain
from grata_monai.state import read_state
from tests.bundle.conftest import SIZE

KILLS = 20
IMAGES = 8
IGNORED = {"timing.csv", ".lock", "run.state.pt"}  # the state has the times, too


def adapt(root, weights, output):
    """Segment the images, one of which is broken; the whole life of a process."""
    torch.set_num_threads(1)
    with open(os.devnull, "w") as silence, contextlib.redirect_stderr(silence):
        run_workflow(
            "inference",
            dataset_dir=root,
            weights=weights,
            output_dir=output,
            method="grata",
            beta=1e-2,
            image_size=SIZE,
            save_every=2,
            resume=True,
            device="cpu",
            guard=False,
        )


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in IGNORED
    }


def adapter_state(folder):
    return read_state(folder / "run.state.pt")["parts"]["adaptation"]["adapter"]


@pytest.fixture
def start(tmp_path, weights):
    write_synthetic_domain(
        tmp_path / "data", synthetic_domain("Synthetic_A"), images=IMAGES, size=SIZE, seed=0
    )
    images = sorted((tmp_path / "data").rglob("image/*.png"))
    images[3].write_bytes(images[3].read_bytes()[:200])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.bundle.test_kill"])

    def start(output):
        process = context.Process(target=adapt, args=(tmp_path / "data", weights, output))
        process.start()
        return process

    return start


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_killed_at_random_moments(start, tmp_path):
    process = start(tmp_path / "warm-up")
    process.join()
    began = time.monotonic()
    process = start(tmp_path / "once")
    process.join()
    whole = time.monotonic() - began
    assert process.exitcode == 0
    expected, learned = contents(tmp_path / "once"), adapter_state(tmp_path / "once")
    assert {"trace.csv", "skipped.csv", "metrics.csv", "val_mean_dice_raw.csv"} <= set(expected)
    assert len([name for name in expected if name.endswith("_seg.png")]) == IMAGES - 1

    draws, kills, rounds = random.Random(0), 0, 0
    while kills < KILLS or process.exitcode != 0:
        if process.exitcode == 0:
            rounds += 1
        output = tmp_path / f"round{rounds}"
        process = start(output)
        # Mostly while images are adapted to, at times while weights are read.
        process.join(draws.uniform(0.2, 1.0) * whole if kills < KILLS else None)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
        if process.exitcode == 0:
            assert contents(output) == expected
            expect_same_tensors(adapter_state(output), learned, "after kills")
    assert not list(tmp_path.rglob(".partial-*"))
