# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Readers of a benchmark's grid and run."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from hypothesis import strategies as st

from grata_monai.benchmark import read_rows, requested_grid, source_means, with_average
from grata_monai.benchmark.progress import cell_progress
from grata_monai.benchmark.results import over_seeds, target_means
from grata_monai.report.analysis import analyse
from grata_monai.report.gallery import build_gallery
from grata_monai.report.run import read_run
from grata_monai.report.sections import build_sections
from tests.fuzz.mutations import csv_files, files, json_files
from tests.fuzz.target import Target, written
from tests.report.synthetic_run import write_run

_GRID = {
    "name": "x",
    "methods": [
        {"name": "No Adapt", "method": "source"},
        {"name": "G", "method": "grata", "options": {"mapping": "linear"}, "rate_from": None},
        {"name": "T", "method": "tent", "rate_from": "G"},
    ],
    "sources": {"A": "a.pt"},
    "targets": ["B", "C"],
    "seeds": [0, 1],
    "protocols": ["grata", "mixed"],
    "rounds": 1,
    "limit": 2,
    "image_size": 64,
    "roi_size": 800,
    "diagnostics": False,
}


def _grid(folder: Path, data: bytes) -> None:
    grid = requested_grid(folder, grid=written(folder, "x.json", data))
    for cell in grid.cells():
        assert Path(cell.id).name == cell.id
    json.dumps(grid.to_dict())


@functools.cache
def _run_files() -> dict[str, bytes]:
    """Return the files of a small run by what they are."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        run = write_run(Path(name), sources=("A",), targets=("B",), images=2, seeds=(0,), size=16)
        cell = next((run / "cells").iterdir())
        return {
            "plan.json": (run / "plan.json").read_bytes(),
            "rows.csv": (cell / "rows.csv").read_bytes(),
            "cell": cell.name.encode(),
        }


def _run_inputs() -> st.SearchStrategy[tuple[bytes, bytes, bytes]]:
    found = _run_files()
    plan = json.loads(found["plan.json"])
    plan["cells"] = plan["cells"][:1]
    status = {"id": found["cell"].decode(), "status": "complete", "total": 2, "error": ""}
    header, *rows = found["rows.csv"].decode().splitlines()
    columns = zip(*(row.split(",") for row in rows), strict=True)
    cells = dict(zip(header.split(","), columns, strict=True))
    tables = st.one_of(files(found["rows.csv"]), csv_files(cells))
    return st.tuples(json_files(plan), json_files(status), tables)


def _put_run(folder: Path, data: tuple[bytes, bytes, bytes]) -> Path:
    plan, status, rows = data
    cell = _run_files()["cell"].decode()
    run = folder / "run"
    for name, content in (("plan.json", plan), ("rows.csv", rows)):
        written(run, name, content)
    for name, content in (("cell.json", status), ("rows.csv", rows)):
        written(run, f"cells/{cell}/{name}", content)
    return run


def _run(folder: Path, data: tuple[bytes, bytes, bytes]) -> None:
    run = _put_run(folder, data)
    list(cell_progress(run))
    rows = read_rows(run)
    over_seeds(target_means(rows))
    over_seeds(with_average(source_means(rows)))


def _report(folder: Path, data: tuple[bytes, bytes, bytes]) -> None:
    found = read_run(_put_run(folder, data))
    build_gallery(found, max_images=2)
    build_sections(analyse(found))


TARGETS = {
    "grid": Target(json_files(_GRID), _grid),
    "run": Target(_run_inputs(), _run),
    "report": Target(_run_inputs(), _report),
}
