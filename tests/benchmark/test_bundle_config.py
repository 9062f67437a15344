# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The same benchmark through MONAI's bundle command."""

from __future__ import annotations

import json

import pytest
from monai.bundle import ConfigWorkflow

from grata_monai.benchmark import read_rows
from grata_monai.bundle import bundle_dir
from tests.benchmark.conftest import DOMAINS, SIZE

CONFIG = bundle_dir() / "configs" / "benchmark.json"


@pytest.fixture
def run(dataset, weights, tmp_path):
    def run(**overrides):
        settings = {
            "dataset_dir": str(dataset),
            "sources": {DOMAINS[0]: str(weights)},
            "output_dir": str(tmp_path / "run"),
            "image_size": SIZE,
            "methods": ["No Adapt", "PTBN"],
            "device": "cpu",
        }
        workflow = ConfigWorkflow(
            str(CONFIG), workflow_type="inference", logging_file=False, **(settings | overrides)
        )
        workflow.initialize()
        workflow.run()
        workflow.finalize()

    return run


def test_a_run_and_more_of_it(run, tmp_path, caplog):
    with caplog.at_level("INFO"):
        run(pictures=False, limit=1)
    assert "Protocol grata" in caplog.text
    run(pictures=False, limit=1, seeds=[0, 1])
    assert len(read_rows(tmp_path / "run")) == 2 * 2


def test_one_source_by_name_and_weights(run, weights, tmp_path):
    run(sources="$dict([(@source, @weights)])", source=DOMAINS[1], weights=str(weights), limit=1)
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert list(plan["sources"]) == [DOMAINS[1]]
    assert (read_rows(tmp_path / "run")["target"] == DOMAINS[0]).all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"dataset_dir": None}, "There is no data: give --dataset_dir"),
        ({"preset": "smok"}, "did you mean 'smoke'"),
        ({"sources": "model.pt"}, "must be a dictionary"),
        ({"methods": ["Tent"]}, "did you mean 'TENT'"),
        ({"image_size": 100}, "multiple of 32"),
    ],
)
def test_a_users_mistake_is_one_line(run, overrides, message):
    with pytest.raises(SystemExit, match=message) as caught:
        run(**overrides)
    assert "\n" not in caught.value.code


def test_a_failed_cell_is_an_error_at_the_end(run, tmp_path):
    grid = tmp_path / "grid.json"
    methods = [{"name": "bad", "method": "grata", "options": {"auxiliary": "rotation"}}]
    grid.write_text(json.dumps({"methods": methods}))
    with pytest.raises(SystemExit, match=r"1 failures, see .*failures\.csv"):
        run(preset=None, grid=str(grid), methods=[])
