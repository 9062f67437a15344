# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Inference in two processes: the results of one, or a refusal; in no case one waits for ever.

Some are started by ``torchrun``, as users do. The others are forked from a process that has
imported torch, which takes most of a start.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import shutil
import sys

import pandas as pd
import pytest
import torch
from filelock import FileLock
from torch import distributed

from grata_monai.bundle import run_workflow
from tests.bundle.conftest import CONFIGS, DOMAIN, REPOSITORY, SIZE, TRAINING_DOMAIN
from tests.bundle.test_commands import flags, start

PROCESSES = 2
PATIENCE = 120  # seconds until a process counts as one that waits for ever
BOTH = [DOMAIN, TRAINING_DOMAIN]  # of 2 and 5 images
BETA = 1e-2

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forkserver")


def adapt_together(rank, folder, runs):
    """Do runs one after the other; the whole life of a process."""
    torch.set_num_threads(1)
    outcomes = {}
    for name, settings in runs.items():
        if settings.get("resume") and rank == 1:
            state = settings["output_dir"] / "run.2-of-2.state.pt"
            if name == "damaged":
                state.write_bytes(state.read_bytes()[:-1000])
            else:  # as if it had been killed before it had written anything
                state.unlink()
        store = distributed.FileStore(str(folder / f"{name}.store"), PROCESSES)
        distributed.init_process_group("gloo", store=store, rank=rank, world_size=PROCESSES)
        with (folder / f"{name}.{rank}.log").open("w") as log, contextlib.redirect_stderr(log):
            try:
                run_workflow("inference", overlays=["multi_gpu_inference"], **settings)
                outcomes[name] = "done"
            except ValueError as error:
                outcomes[name] = str(error)
        if distributed.is_initialized():
            distributed.destroy_process_group()
    (folder / f"outcomes.{rank}.json").write_text(json.dumps(outcomes))


def contents(folder):
    """All that one process and two should agree about."""
    tables = ("trace.csv", "skipped.csv", "metrics.csv", "_raw.csv")
    pictures = ("_seg.png", "_seg.nii.gz", "_overlay.png")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name.endswith(tables + pictures)
    }


@pytest.fixture(autouse=True)
def one_thread():
    """As all other processes here: more add up in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def half_broken(root, tmp_path_factory):
    """Two domains, the second of which has no image that can be read."""
    folder = shutil.copytree(root, tmp_path_factory.mktemp("data") / "half_broken")
    for path in (folder / TRAINING_DOMAIN).rglob("image/*.png"):
        path.write_bytes(path.read_bytes()[:200])
    return folder


@pytest.fixture(scope="module")
def cases(root, half_broken, weights):
    """Settings of runs by name."""
    shared = {"weights": weights, "image_size": SIZE, "device": "cpu", "beta": BETA, "guard": False}
    each = {"dataset_dir": root, "domain": BOTH, "life_cycle": "per_image", "method": "tent"}
    whole = {"dataset_dir": root, "domain": BOTH, "method": "grata"}
    return {
        name: shared | settings
        for name, settings in {
            "images": each,
            "data sets": whole,
            "half broken": whole | {"dataset_dir": half_broken},
            "resumed": each,
            "damaged": each,
            "claimed": each,
            "one data set": whole | {"domain": TRAINING_DOMAIN},
            "barred": whole,
        }.items()
    }


@pytest.fixture(scope="module")
def together(root, cases, tmp_path_factory):
    """The folder with the results of two processes, and what each of them says of each run."""
    folder = tmp_path_factory.mktemp("together")
    runs = {name: settings | {"output_dir": folder / name} for name, settings in cases.items()}
    first = {f"{name} at first": runs[name] for name in ("resumed", "damaged")}
    again = {name: runs[name] | {"resume": True} for name in ("resumed", "damaged")}
    runs = first | runs | again
    (folder / "claimed").mkdir()
    for path in (root / TRAINING_DOMAIN).rglob("image/*.png"):  # folders where files should be
        (folder / "barred" / "predictions" / f"{path.stem}_seg.png").mkdir(parents=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with FileLock(folder / "claimed" / ".lock"):
        processes = [
            context.Process(target=adapt_together, args=(rank, folder, runs))
            for rank in range(PROCESSES)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(PATIENCE)
            process.kill()
            process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    return folder, [json.loads((folder / f"outcomes.{r}.json").read_text()) for r in (0, 1)]


@pytest.mark.parametrize("name", ["images", "data sets", "half broken", "resumed"])
def test_the_results_are_those_of_one_process(cases, together, tmp_path, name):
    folder, outcomes = together
    assert [outcome[name] for outcome in outcomes] == ["done"] * PROCESSES
    run_workflow("inference", **cases[name], output_dir=tmp_path)
    expected, found = contents(tmp_path), contents(folder / name)
    assert {"trace.csv", "metrics.csv", "val_assd_raw.csv"} <= expected.keys()
    assert ("skipped.csv" in expected) == (name == "half broken")
    assert found == expected
    used = 2 if name == "half broken" else 7
    assert len(pd.read_csv(folder / name / "trace.csv")) == used
    assert len([file for file in found if file.endswith("_seg.png")]) == used
    states = sorted(path.name for path in (folder / name).glob("*.state.pt"))
    assert states == ["run.1-of-2.state.pt", "run.2-of-2.state.pt"]


def test_what_is_refused_is_refused_in_all_processes(together):
    folder, outcomes = together
    for name, message in {
        "claimed": f"Another run is writing to {folder / 'claimed'}; wait",
        "one data set": "With the life cycle 'per_dataset' of GraTa the result of an image depends",
    }.items():
        first, second = (outcome[name] for outcome in outcomes)
        assert first == second
        assert first.startswith(message)
        assert "\n" not in first
    assert [path.name for path in (folder / "claimed").iterdir()] == [".lock"]
    assert not (folder / "one data set").exists()


def test_a_state_that_one_process_refuses_costs_none_its_results(together):
    folder, outcomes = together
    first, second = (outcome["damaged"] for outcome in outcomes)
    assert first == second
    assert "run.2-of-2.state.pt is no saved state, or is damaged" in first
    assert contents(folder / "damaged") == contents(folder / "images")


def test_nobody_waits_for_a_process_that_has_failed(together):
    folder, (first, second) = together
    assert "_seg.png" in second["barred"]
    assert first["barred"].startswith("Another process of this run has failed")
    assert not list((folder / "barred").rglob(".partial-*"))


@pytest.fixture
def launch(root, weights, tmp_path):
    """Start the command of users; returns its exit code, its errors, and its folder."""

    def launch(**settings):
        files = [str(CONFIGS / f"{name}.json") for name in ("inference", "multi_gpu_inference")]
        shared = {
            "config_file": files,
            "dataset_dir": root,
            "domain": TRAINING_DOMAIN,
            "weights": weights,
            "output_dir": tmp_path / "output",
            "image_size": SIZE,
            "method": "tent",
            "beta": BETA,
            "guard": False,
            "device": "cpu",
        }
        process = start(
            "--standalone",
            "--nnodes=1",
            f"--nproc_per_node={PROCESSES}",
            "-m",
            "monai.bundle",
            "run",
            *flags(shared | settings),
            cwd=REPOSITORY,
            module="torch.distributed.run",
        )
        _, errors = process.communicate(timeout=PATIENCE)
        return process.returncode, errors, tmp_path / "output"

    return launch


def test_the_command_gives_each_process_a_stream_when_asked(launch, together):
    """Its first image is then adapted to as one alone; those behind it are not."""
    code, errors, folder = launch(per_rank_streams=True)
    assert code == 0, errors
    found = pd.read_csv(folder / "trace.csv")
    alone = pd.read_csv(together[0] / "images" / "trace.csv").iloc[2:].reset_index(drop=True)
    assert found["index"].tolist() == [0, 1, 2, 3, 4]
    assert found["image"].tolist() == alone["image"].tolist()
    numbers = found.columns.drop(["index", "image", "event"])
    same = [found[numbers].loc[row].equals(alone[numbers].loc[row]) for row in range(5)]
    assert same == [True, False, False, True, False]


@pytest.mark.slow
def test_the_command_refuses_one_stream_in_order(launch):
    code, errors, folder = launch()
    assert code != 0
    lines = [line for line in errors.splitlines() if line.startswith("Error: With the life cycle")]
    assert 1 <= len(lines) <= PROCESSES
    assert "--per_rank_streams True" in lines[0]
    assert not folder.exists()
