# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Cells on a real Ray cluster of two nodes, one of which is killed; nodes that are not fit."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import grata_monai
from grata_monai.benchmark import ray_engine, ray_worker
from grata_monai.benchmark.cells import CellOutcome, run_cell
from grata_monai.benchmark.plan import make_plan
from grata_monai.benchmark.ray_worker import NodeError, Shared
from grata_monai.benchmark.request import requested_grid
from grata_monai.benchmark.run_folder import read_text_rows, write_json
from grata_monai.benchmark.runner import run_plan
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
    plan = replace(plan, hashes={"Elsewhere": hashlib.sha256(b"weights").hexdigest()})
    (tmp_path / "run").mkdir()
    write_json(tmp_path / "run" / "plan.json", plan.to_dict())
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


def other_weights(task, seen):
    Path(task.weights).write_bytes(b"others")
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
        (other_weights, r"has another file .*model.pt than the one of the plan"),
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


def test_rows_that_a_node_has_written_are_waited_for(shared, monkeypatch):
    task, _ = shared
    done = CellOutcome(task.cell.id, "complete", 4)
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 2:
            assert run_cell(task).status == "complete"

    monkeypatch.setattr(ray_engine.time, "sleep", nap)
    ray_engine._await_files(task, done)
    assert len(naps) == 2
    ray_engine._await_files(task, done)
    assert len(naps) == 2
    monkeypatch.setattr(ray_engine, "SEEN_SECONDS", 0.0)
    with pytest.raises(ValueError, match=r"completed .*, but that is not to be seen here"):
        ray_engine._await_files(task, replace(done, images=5))


def test_images_that_are_made_again_are_not_counted_twice(shared):
    task, _ = shared
    seen = []
    progress = ray_engine._Progress(None, None, [task], lambda: seen.append(None))
    for images in (2, 1, 3, len(task.stream) + 2, len(task.stream)):
        progress.reach(task.cell.id, images)
    assert len(seen) == len(task.stream) == 4


class Raised:
    """Ray where a cell's result is an exception.

    Args:
        error: The exception.
    """

    def __init__(self, error):
        import ray

        self.exceptions, self.error = ray.exceptions, error

    def get(self, reference):
        raise self.error


@needs_ray
def test_a_cell_that_lost_all_its_workers_fails_and_the_others_go_on(shared):
    from ray.exceptions import NodeDiedError

    task, _ = shared
    outcome = ray_engine._outcome(Raised(NodeDiedError("gone")), None, task)
    assert (outcome.status, outcome.cell, outcome.images) == ("failed", task.cell.id, 0)
    assert "lost 6 times (NodeDiedError)" in outcome.error
    assert json.loads((task.folder / "cell.json").read_text())["error"] == outcome.error


@needs_ray
@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (NodeError("The node n has no weights."), r"^The node n has no weights\.$"),
        (ModuleNotFoundError("No module named 'x'"), "cannot run cells: .*No module named 'x'"),
    ],
)
def test_a_node_that_cannot_run_cells_ends_the_run_in_one_line(shared, cause, message):
    from ray.exceptions import RayTaskError

    error = RayTaskError("work", f"Traceback\n{type(cause).__name__}: {cause}", cause)
    with pytest.raises(ValueError, match=message) as raised:
        ray_engine._outcome(Raised(error.as_instanceof_cause()), None, shared[0])
    assert "\n" not in str(raised.value)


def test_ctrl_c_ends_all_cells(shared, monkeypatch):
    task, _ = shared
    ended = []

    class Ray:
        @staticmethod
        def remote(**options):
            assert options["max_retries"] == ray_engine.RETRIES
            return lambda work: SimpleNamespace(remote=lambda *arguments: arguments[0].cell.id)

        @staticmethod
        def wait(references, **settings):
            if not ended:
                raise KeyboardInterrupt

        @staticmethod
        def cancel(reference, *, force):
            ended.append((reference, force))

        kill = ended.append

    monkeypatch.setattr(ray_engine, "_actor", lambda ray: "told")
    with pytest.raises(KeyboardInterrupt):
        list(ray_engine._run_cells(Ray, 1, 0.0, [task]))
    assert ended == [(task.cell.id, True), "told"]


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
        methods=("GraTa",),
        seeds=(0, 1),
        protocols=("vptta",),
        rounds=6,
        image_size=SIZE,
    )
    plan = make_plan(grid, dataset, device="cpu")
    script = load_script("kill_ray_node")
    seen = []
    report, retried = script.run_on_cluster(
        plan, tmp_path / "ray", lose_after=18, fault="kill", also=lambda: seen.append(None)
    )
    assert (len(report.outcomes), report.failed, report.failures) == (2, [], 0)
    assert len(retried) == 1
    run_plan(plan, tmp_path / "local", progress=False)
    rows = rows_of(tmp_path / "ray")
    assert len(seen) == len(rows) == 2 * 6 * 3
    assert rows == rows_of(tmp_path / "local")
