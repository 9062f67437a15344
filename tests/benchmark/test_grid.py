# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Grids as data: cells, ids, JSON, refusals."""

from __future__ import annotations

import json
import re

import pytest

from grata_monai.benchmark.grid import PROTOCOLS, Grid, Method, make_cell
from grata_monai.benchmark.names import file_name, shortened
from grata_monai.benchmark.presets import OBJECTIVES, PRESETS, preset

SOURCE, TENT = Method("No Adapt", "source"), Method("TENT", "tent")


def grid_of(**settings):
    defaults = {"methods": (SOURCE, TENT), "sources": {"A": "a.pt", "B": "b.pt"}}
    return Grid(**(defaults | {"targets": ("A", "B", "C")} | settings))


def test_a_source_is_not_its_own_target():
    pairs = {(cell.source, cell.targets) for cell in grid_of().cells()}
    assert pairs == {("A", ("B",)), ("A", ("C",)), ("B", ("A",)), ("B", ("C",))}


def test_joint_protocols_have_one_stream_through_the_other_targets():
    cells = grid_of(protocols=("vptta", "mixed"), methods=(TENT,)).cells()
    assert [(c.protocol, c.source, c.stream) for c in cells] == [
        ("vptta", "A", "B+C"),
        ("vptta", "B", "A+C"),
        ("mixed", "A", "B+C"),
        ("mixed", "B", "A+C"),
    ]


def test_ids_do_not_depend_on_what_else_is_in_the_grid():
    small = grid_of(methods=(TENT,), targets=("C",), seeds=(3,), sources={"B": "b.pt"})
    ids = {cell.id for cell in grid_of(seeds=(1, 3), protocols=tuple(PROTOCOLS)).cells()}
    assert [cell.id for cell in small.cells()] == ["grata__B__C__TENT__s3"]
    assert small.cells()[0].id in ids
    assert len(ids) == 2 * 2 * 2 * (2 + 1 + 1 + 2)


def test_ids_are_file_names():
    assert file_name("a/b: c*?") == "a_b_c"
    assert file_name("../..") == "_"
    long = make_cell("vptta", "A", [f"target number {i}" for i in range(20)], "TENT", 0)
    assert len(long.id) < 100
    other = make_cell("vptta", "A", [f"target number {i}" for i in range(1, 21)], "TENT", 0)
    assert long.id != other.id


def test_names_that_are_too_long_are_cut_and_stay_different():
    ids = [make_cell("grata", "S" * 150, ["T"], "m" * 300 + end, 0).id for end in "ab"]
    assert ids[0] != ids[1]
    assert all(len(name.encode()) <= 200 for name in (*ids, shortened("目" * 100)))


def test_json_round_trip():
    control = Method("control", "grata", {"mapping": "constant"}, "TENT")
    grid = grid_of(methods=(TENT, control), seeds=(0, 2), protocols=("episodic",), limit=7)
    assert Grid.from_dict(json.loads(json.dumps(grid.to_dict()))) == grid


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"methods": ()}, "at least one method"),
        ({"methods": (TENT, Method("tent ", "tent"))}, "'methods' of Grid must differ"),
        ({"seeds": (0, 0)}, "'seeds' of Grid must differ"),
        ({"seeds": (-1,)}, "'seeds' parameter of Grid"),
        ({"rounds": 0}, "'rounds' parameter of Grid"),
        ({"limit": 0}, "'limit' parameter of Grid"),
        ({"protocols": ("vpta",)}, "did you mean 'vptta'"),
        ({"methods": (Method("x", "grata", {}, "TENT"),)}, "takes its learning rate from 'TENT'"),
        ({"seeds": (2**63,)}, "'seeds' parameter of Grid"),
        ({"seeds": 3}, "'seeds' parameter of Grid must be a list"),
        ({"protocols": "grata"}, "'protocols' parameter of Grid must hold"),
        ({"targets": "REFUGE"}, "'targets' parameter of Grid must hold"),
        ({"targets": (1,)}, "'targets' parameter of Grid must hold"),
        ({"sources": ("A",)}, "'sources' parameter of Grid must be an object"),
        ({"sources": {"A": None}}, "'sources' parameter of Grid must be an object"),
        ({"sources": {"": "a.pt"}}, "'sources' parameter of Grid must hold"),
        ({"diagnostics": "no"}, "'diagnostics' parameter of Grid"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(ValueError, match=message):
        grid_of(**settings)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"methods": [{"name": "x", "method": "tent", "beta": 1}]}, "unexpected keyword"),
        ({"methods": "tent"}, "must be a list"),
        ({"methods": [], "seed": 1}, "did you mean 'seeds'"),
        ({"methods": [{"name": 3, "method": "tent"}]}, "'name' parameter of Method"),
        ({"methods": [{"name": "", "method": "tent"}]}, "'name' parameter of Method"),
        ({"methods": [{"name": "x", "method": ["tent"]}]}, "'method' parameter of Method"),
        ({"methods": [{"name": "x", "method": "tent", "options": [1]}]}, "must be an object"),
        ({"methods": [{"name": "x", "method": "tent", "options": None}]}, "must be an object"),
        ({"methods": [{"name": "x", "method": "tent", "options": {"seed": 1}}]}, "of the grid"),
    ],
)
def test_wrong_files(data, message):
    with pytest.raises(ValueError, match=message):
        Grid.from_dict(data)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_both_baselines_and_survive_json(name):
    grid = preset(name)
    assert grid.name == name
    assert {"source", "ptbn"} <= {method.method for method in grid.methods}
    assert Grid.from_dict(json.loads(json.dumps(grid.to_dict()))) == grid
    assert not any("," in method.name for method in grid.methods)  # --methods a,b


def test_all_methods_are_all_of_the_registry():
    from grata_monai.adapters import ADAPTERS

    assert {method.method for method in preset("all-methods").methods} == set(ADAPTERS)


def test_table_5_has_all_pairs_of_different_objectives():
    options = [m.options for m in preset("paper-table5").methods if m.method == "grata"]
    pairs = {(o["pseudo"], o["auxiliary"]) for o in options}
    assert len(pairs) == len(options) == len(OBJECTIVES) * (len(OBJECTIVES) - 1) == 30


def test_an_unknown_preset():
    with pytest.raises(ValueError, match=re.escape("did you mean 'paper-table1'")):
        preset("paper-tabel1")
