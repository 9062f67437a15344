# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of a benchmark that somebody else sent: nothing outside it gets into the report."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from grata_monai.benchmark import read_rows
from grata_monai.benchmark.progress import cell_progress
from grata_monai.report import read_run, write_report
from grata_monai.report.figures.panel import draw_panel
from grata_monai.report.gallery import changes
from grata_monai.report.outlines import read_picture
from tests.report.synthetic_run import write_run

EVIL = "\"><script>alert('x')</script>"


@pytest.fixture
def run(tmp_path):
    """Return a small run beside which lies a secret picture, pure green."""
    folder = write_run(tmp_path / "run", sources=("A",), targets=("B",), images=2, seeds=(0,))
    Image.fromarray(np.full((32, 32, 3), (0, 255, 0), np.uint8)).save(tmp_path / "secret.png")
    return folder


def change_rows(run, **columns):
    for path in run.rglob("rows.csv"):
        pd.read_csv(path).assign(**columns).to_csv(path, index=False)


def greens(page):
    """Return how many of a page's embedded pictures are green."""
    data = re.findall("data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page.read_text("utf-8"))
    pictures = [_mean_color(base64.b64decode(one)) for one in data]
    return sum(red < 50 and green > 200 and blue < 50 for red, green, blue in pictures)


def _mean_color(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).mean(axis=(0, 1))


def test_a_picture_of_the_run_itself_would_be_found(run):
    Image.open(run.parent / "secret.png").save(run / "own.png")
    change_rows(run, picture="own.png")
    assert greens(write_report(run, figures=False).page) == 2


@pytest.mark.parametrize("how", ["../secret.png", "pictures/../../secret.png", "absolute", "link"])
def test_pictures_from_elsewhere_are_not_embedded(run, how):
    if how == "absolute":
        how = str(run.parent / "secret.png")
    if how == "link":
        (run / how).symlink_to(run.parent / "secret.png")
    change_rows(run, picture=how, truth=how, prediction=how)
    report = write_report(run, figures=False)
    assert greens(report.page) == 0
    assert not [path for path in report.page.parent.rglob("*") if path.name == "secret.png"]
    found = read_run(run)
    assert draw_panel(found, changes(found, found.rows), "GraTa", run / "figures") == []


def test_no_other_program_reads_a_picture(tmp_path):
    (tmp_path / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    with pytest.raises(OSError, match=r"x\.png cannot be read: cannot identify image file"):
        read_picture(tmp_path / "x.png", "RGB")


def test_evil_rows_stay_text(run):
    names = {"image": f"B/{EVIL}.png", "error": EVIL, "target": EVIL, "source": "javascript:x"}
    change_rows(run, **names, picture="javascript:alert(1)")
    page = write_report(run, figures=False).page.read_text("utf-8")
    assert page.count("<script") == 3  # the data and two of our own
    assert EVIL not in page
    assert not re.search("""(href|src)=["']?(javascript|\\.\\.)""", page)


@pytest.mark.parametrize("name", ["../elsewhere", "/etc", "..", "a\\..\\..\\b", "C:x", ""])
def test_cells_lie_in_the_run(run, name):
    plan = json.loads((run / "plan.json").read_text())
    plan["cells"][0]["id"] = name
    (run / "plan.json").write_text(json.dumps(plan))
    for read in (read_rows, lambda folder: list(cell_progress(folder)), write_report):
        with pytest.raises(ValueError, match="has a cell that is no folder of it"):
            read(run)
