# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What is checked before the first image, and requests."""

from __future__ import annotations

import hashlib
import json

import pytest

from grata_monai.adapters import build_adapter
from grata_monai.benchmark.cost import PASSES, estimated_seconds
from grata_monai.benchmark.grid import Method
from grata_monai.benchmark.plan import make_plan
from grata_monai.benchmark.presets import preset
from grata_monai.benchmark.request import requested_grid
from grata_monai.benchmark.sources import load_source, needed_heads
from tests.benchmark.conftest import DOMAINS, SIZE


@pytest.fixture
def grid_of(dataset, weights):
    def grid_of(**settings):
        defaults = {"preset": "smoke", "sources": {DOMAINS[0]: weights}, "image_size": SIZE}
        return requested_grid(dataset, **(defaults | settings))

    return grid_of


def test_a_plan_knows_images_hashes_and_versions(grid_of, dataset, weights):
    plan = make_plan(grid_of(limit=2), dataset, device="cpu")
    assert list(plan.domains) == [DOMAINS[1]]  # the source is no target of its own
    assert [len(plan.stream(cell)) for cell in plan.grid.cells()] == [2] * 4
    data = json.loads(json.dumps(plan.to_dict()))
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert data["sources"] == {DOMAINS[0]: {"weights": str(weights), "sha256": sha256}}
    assert set(data["versions"]) == {"grata_monai", "torch", "monai", "python"}
    keys = {"id", "source", "stream", "targets", "method", "seed", "protocol"}
    assert all(set(cell) == keys for cell in data["cells"])


@pytest.mark.parametrize(
    ("settings", "device", "message"),
    [
        ({"image_size": 100}, "cpu", "multiple of 32"),
        ({"sources": {}}, "cpu", "There is no source model"),
        ({"targets": (DOMAINS[0],)}, "cpu", "nothing to run"),
        ({"targets": ("Synthetic_Q",)}, "cpu", "has no domain 'Synthetic_Q'"),
        ({"sources": {"X": "nowhere.pt"}}, "cpu", "There are no weights nowhere.pt"),
        ({}, "cuda:77", "device 'cuda:77' cannot be used"),
    ],
)
def test_refusals(grid_of, dataset, settings, device, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make_plan(grid_of(**settings), dataset, device=device)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Method("Mine", "mine"), r"no methods with the ids mine \(needed by Mine\)"),
        (Method("Bad", "tent", {"betta": 1}), "Bad: .*did you mean 'beta'"),
        (Method("Bad", "tent", {"beta": -1}), "Bad: The 'beta' parameter"),
    ],
)
def test_methods_are_checked_first(plan_of, dataset, method, message):
    with pytest.raises(ValueError, match=message):
        make_plan(plan_of([method]).grid, dataset)


def test_a_file_that_is_no_source_model(grid_of, dataset, tmp_path):
    (tmp_path / "x.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"x\.pt"):
        make_plan(grid_of(sources={"X": tmp_path / "x.pt"}), dataset, device="cpu")


def test_a_request_changes_a_preset(grid_of):
    grid = grid_of(methods=("TENT", "PTBN"), seeds=(1, 1, 2), protocols=(), rounds=None, limit=9)
    assert [method.name for method in grid.methods] == ["PTBN", "TENT"]
    assert (grid.seeds, grid.protocols, grid.limit) == ((1, 2), ("grata",), 9)
    assert grid.targets == DOMAINS
    with pytest.raises(ValueError, match="did you mean 'TENT'"):
        grid_of(methods=("tent",))
    with pytest.raises(ValueError, match="learning rate from 'GraTa'"):
        grid_of(preset="paper-table2", methods=("GraTa constant mean rate",))


def test_a_grid_from_a_file(dataset, tmp_path):
    path = tmp_path / "grid.json"
    content = {
        "name": "mine",
        "methods": [{"name": "x", "method": "tent", "options": {"beta": 1e-3}}],
        "sources": {"A": "models/a.pt"},
        "seeds": [4],
    }
    path.write_text(json.dumps(content))
    grid = requested_grid(dataset, grid=path)
    assert (grid.name, grid.seeds, grid.methods[0].options) == ("mine", (4,), {"beta": 1e-3})
    assert grid.sources == {"A": str(tmp_path / "models" / "a.pt")}
    with pytest.raises(ValueError, match="either a preset"):
        requested_grid(dataset, grid=path, preset="smoke")
    with pytest.raises(ValueError, match="either a preset"):
        requested_grid(dataset)
    with pytest.raises(FileNotFoundError, match="no grid file"):
        requested_grid(dataset, grid=tmp_path / "other.json")
    path.write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        requested_grid(dataset, grid=path)


def test_data_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        requested_grid(tmp_path / "nowhere", preset="smoke")
    with pytest.raises(ValueError, match="no lists of domains"):
        requested_grid(tmp_path, preset="smoke")


@pytest.mark.parametrize(
    ("method", "options", "heads"),
    [
        ("grata", {}, ()),
        ("grata", {"auxiliary": "rotation", "pseudo": "denoising"}, ("denoising", "rotation")),
        ("detta", {}, ("denoising",)),
        ("guard", {"auxiliary": "rotation"}, ("rotation",)),
        ("source", {}, ()),
    ],
)
def test_only_the_heads_that_a_method_needs(method, options, heads):
    assert needed_heads(build_adapter(method, **options)) == heads


def test_a_source_without_the_head_says_so(weights):
    with pytest.raises(ValueError, match="no weights for the heads rotation"):
        load_source(weights, build_adapter("grata", auxiliary="rotation"), "cpu")


def test_the_cost_counts_passes(plan_of, monkeypatch):
    monkeypatch.setattr("grata_monai.benchmark.cost.seconds_per_forward", lambda *_: 0.5)
    plan = plan_of(targets=DOMAINS[:1])
    seconds = estimated_seconds(plan, plan.grid.cells())
    assert seconds == 4 * 0.5 * (1 + 1 + 2 + 2 * 1)
    assert {method.method for method in preset("paper-table1").methods} <= set(PASSES)
