# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The simulation of scaling beside schedules worked out by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "simulate_scaling.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("simulate_scaling", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_schedules_are_those_worked_out_by_hand(script, capsys):
    script.check()
    assert capsys.readouterr().out.count("by hand") == 5


def test_a_schedule_that_differs_is_noticed(script, monkeypatch):
    monkeypatch.setattr(script, "slowdown", lambda cells, bandwidth: 1.0)
    with pytest.raises(SystemExit, match="by hand"):
        script.check()


def test_a_grid_costs_what_its_cells_cost(script):
    grid = ["--sources=2", "--targets=3", "--images=30", "--seeds=2", "--methods=source,medbn"]
    limits = ["--cell-start=1", "--weights-mb=100", "--image-mb=2"]
    given = script.parse([*grid, *limits])
    given.seconds, given.states = {"source": 0.5}, {"medbn": 400.0}
    cells = script.grid_of(given)
    # MedBN: two passes, 10 images of 1 s; 4 s for a save, 3 of them beyond the first, 60 s apart
    assert cells[:12] == [script.Work(1 + 10 * 1.0, 100 + 10 * 2 + 400)] * 12
    # No Adapt: 10 images of 0.5 s; two saves of 0.3 MB
    assert cells[12:] == [script.Work(1 + 10 * 0.5, 100 + 10 * 2 + 2 * 0.3)] * 12
    line = script.table(given)[-1]
    assert line.startswith("| 64 |")


def test_costs_come_from_a_file(script, tmp_path):
    path = tmp_path / "costs.csv"
    path.write_text("method,seconds,state_mb\ntent,2,0.5\n")
    given = script.parse(["--costs", str(path)])
    assert (given.seconds, given.states) == ({"tent": 2.0}, {"tent": 0.5})
    assert script.cost_of("source", given.seconds) == 0.5  # TENT: two forward, one backward pass
