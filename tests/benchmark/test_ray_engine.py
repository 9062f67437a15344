# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Cells on a real Ray cluster of two nodes, one of which is killed; what is refused, and how."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import json
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import grata_monai
from grata_monai.benchmark import ray_worker
from grata_monai.benchmark.plan import make_plan
from grata_monai.benchmark.ray_connection import check_fits
from grata_monai.benchmark.ray_worker import NodeError, Shared
from grata_monai.benchmark.request import requested_grid
from grata_monai.benchmark.run_folder import read_text_rows
from grata_monai.benchmark.runner import run_plan
from grata_monai.cli.main import main
from tests.benchmark.conftest import DOMAINS, SIZE

PACKAGE = Path(grata_monai.__file__).parent
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or sys.platform == "win32",
    reason="needs Ray: pip install 'grata-monai[cluster]'",
)


def rows_of(folder):
    rows = read_text_rows(folder / "rows.csv")
    return [{k: v for k, v in row.items() if k not in {"seconds", "memory_mb"}} for row in rows]


def test_only_the_ray_modules_import_ray():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if "ray" in {name.split(".")[0] for name in names}:
                found.add(path.stem)
    assert found == {"ray_connection", "ray_engine"}


@pytest.fixture
def shared(plan_of, tmp_path):
    """A task, and what its node must find."""
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")
    plan = plan_of(sources={"Elsewhere": str(weights)})
    run_plan(plan, tmp_path / "run", pictures=False, progress=False)
    task = plan.task(plan.grid.cells()[0], tmp_path / "run", pictures=False)
    return task, Shared.of(task.run)


def test_a_node_that_sees_what_the_driver_sees_is_fit(shared):
    task, seen = shared
    seen.check(task)


def gone(task, seen):
    (task.run / "plan.json").unlink()
    return task, seen


def changed(task, seen):
    path = task.run / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"title": "another run"}))
    return task, seen


def no_images(task, seen):
    number, image = task.stream[0]
    item = {**image.item, "image": "/nowhere/a.png"}
    return replace(task, stream=[(number, replace(image, item=item))]), seen


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (gone, r"has no .*plan.json: the run's folder must be the same folder everywhere"),
        (changed, r"has another .*plan.json"),
        (no_images, r"has no image of Synthetic_A, such as .*nowhere"),
        (lambda task, seen: (replace(task, weights="/no.pt"), seen), "has no weights /no.pt"),
        (lambda task, seen: (replace(task, device="cuda:99"), seen), "'cuda:99' cannot be used"),
        (
            lambda task, seen: (task, replace(seen, versions={**seen.versions, "torch": "0.1"})),
            r"other versions, .*torch.* instead of .*0\.1",
        ),
    ],
)
def test_a_node_that_does_not_is_refused(shared, monkeypatch, spoil, message):
    monkeypatch.setattr(ray_worker, "SEEN_SECONDS", 0.0)
    task, seen = spoil(*shared)
    with pytest.raises(NodeError, match=message):
        seen.check(task)


def test_a_cell_that_no_node_could_take_is_refused():
    class Ray:
        @staticmethod
        def nodes():
            large = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
            return [{"Alive": True, "Resources": {"CPU": 4.0}}, large]

    check_fits(Ray, cpus=4, gpus=0)
    with pytest.raises(ValueError, match=r"has the 5 CPUs and 0 GPUs .* have: 4 CPUs and 0 GPUs"):
        check_fits(Ray, cpus=5, gpus=0)
    with pytest.raises(ValueError, match=r"0\.5 GPUs"):
        check_fits(Ray, cpus=1, gpus=0.5)


def test_without_ray_one_line_says_what_to_install(monkeypatch):
    from grata_monai.benchmark.ray_engine import ray_engine

    found = builtins.__import__

    def without_ray(name, *arguments, **settings):
        if name.split(".")[0] == "ray":
            raise ModuleNotFoundError("No module named 'ray'", name="ray")
        return found(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    with pytest.raises(ValueError, match=r"pip install 'grata-monai\[cluster\]'"):
        ray_engine().__enter__()


@needs_ray
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("here", "must be auto, HOST:PORT or ray://HOST:PORT. Got 'here'"),
        ("auto", r"no usable Ray cluster at the address auto \(.*\). Start one"),
        ("127.0.0.1:{port}", "no usable Ray cluster at the address 127.0.0.1:"),
    ],
)
def test_no_cluster_at_an_address(address, message):
    from grata_monai.benchmark.ray_engine import ray_engine

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # not listening: whoever connects is refused
        address = address.format(port=free.getsockname()[1])
        with pytest.raises(ValueError, match=message):
            ray_engine(address=address).__enter__()


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, PACKAGE.parent / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def one_thread():
    """As many as a cell has on the cluster."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@needs_ray
@pytest.mark.slow
def test_a_killed_node_costs_nothing(dataset, weights, tmp_path, one_thread):
    grid = requested_grid(
        dataset,
        preset="smoke",
        sources={"Synthetic_A": weights},
        targets=DOMAINS,
        methods=("TENT", "GraTa"),
        protocols=("vptta",),
        rounds=16,
        image_size=SIZE,
    )
    plan = make_plan(grid, dataset, device="cpu")
    script = load_script("kill_ray_node")
    seen = []
    report, retried = script.run_on_cluster(
        plan, tmp_path / "ray", lose_after=10, fault="kill", also=lambda: seen.append(None)
    )
    assert (len(report.outcomes), report.failed, report.failures) == (2, [], 0)
    assert len(retried) == 1
    run_plan(plan, tmp_path / "local", progress=False)
    rows = rows_of(tmp_path / "ray")
    assert len(seen) == len(rows) == 2 * 16 * 3
    assert rows == rows_of(tmp_path / "local")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--address", "auto"], "--address goes with --engine ray"),
        (["--gpus-per-cell", "0.5"], "--gpus-per-cell goes with --engine ray"),
        (["--engine", "ray", "--jobs", "2"], "--jobs divides this machine"),
        (["--engine", "ray", "--device", "cuda"], "--device cuda and --gpus-per-cell 0."),
        (["--engine", "ray", "--device", "cuda:1", "--gpus-per-cell", "1"], "--device cuda:1"),
        (["--engine", "ray", "--cpus-per-cell", "0"], "--cpus-per-cell"),
    ],
)
def test_options_that_do_not_go_together(dataset, tmp_path, arguments, message):
    command = ["benchmark", "run", tmp_path / "run", "--data", dataset, *arguments]
    result = CliRunner().invoke(main, list(map(str, command)))
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "run").exists()


@needs_ray
def test_the_command_says_in_one_line_that_there_is_no_cluster(dataset, weights, tmp_path):
    command = ["benchmark", "run", tmp_path / "run", "--preset", "smoke", "--data", dataset]
    command += ["--source", f"Synthetic_A={weights}", "--size", SIZE]
    command += ["--engine", "ray", "--address", "auto", "--gpus-per-cell", "1"]
    result = CliRunner().invoke(main, list(map(str, command)))
    assert result.exit_code == 1
    assert "no usable Ray cluster at the address auto" in result.output
    assert not (tmp_path / "run").exists()
