# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Figures show the numbers of the run; what has no numbers is not drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from grata_monai.report import read_run
from grata_monai.report.figures.boxes import draw_boxes
from grata_monai.report.figures.canvas import method_lines, new_canvas, save
from grata_monai.report.figures.curves import (
    COSINE,
    DICE,
    RATE,
    draw_curve,
    draw_gradient_cosines,
    stream_mean,
)
from grata_monai.report.figures.heat_map import draw_heat_maps
from grata_monai.report.figures.panel import draw_panel
from grata_monai.report.gallery import changes


@pytest.fixture
def small(make_run):
    return read_run(make_run(sources=("A",), targets=("B",), images=3, seeds=(0,), pictures=False))


def lines_of(run):
    return method_lines(run.methods, run.baseline, "GraTa")


def check(drawn, count):
    """Check that each figure has its files and is not blank."""
    assert len(drawn) == count
    assert len({name for name, _, _ in drawn}) == count
    for _, text, files in drawn:
        assert text
        assert [path.suffix for path in files] == [".png", ".pdf"]
        with Image.open(files[0]) as image:
            pixels = np.asarray(image.convert("L"))
        assert min(pixels.shape) > 100
        assert (pixels < 128).mean() > 0.002


def test_curves_one_figure_per_source_and_protocol(small, tmp_path):
    check(draw_curve(small, DICE, lines_of(small), tmp_path), 1)


def test_traces_only_where_there_are_some(small, tmp_path):
    check(draw_curve(small, RATE, lines_of(small), tmp_path), 1)
    small.rows["trace_cosine"] = np.nan
    assert draw_curve(small, COSINE, lines_of(small), tmp_path) == []
    del small.rows["trace_cosine"]
    assert draw_curve(small, COSINE, lines_of(small), tmp_path) == []


def test_gradient_cosines_have_a_line_with_and_without_alignment(small, tmp_path):
    assert draw_gradient_cosines(small, lines_of(small), tmp_path) == []
    grata = small.rows["method"] == "GraTa"
    small.rows["diag_empirical_cosine"] = np.where(grata, 0.5, np.nan)
    small.rows["diag_empirical_cosine_plain"] = np.where(grata, 0.1, np.nan)
    check(draw_gradient_cosines(small, lines_of(small), tmp_path), 1)


def test_the_rolling_mean_by_hand():
    rows = pd.DataFrame(
        {"position": [0, 1, 2, 3, 0, 1, 2, 3], "dice": [0.0, 3, 6, 9, 2, 5, np.nan, 11]}
    )
    # over seeds: 1, 4, 6, 10; window 3
    found = stream_mean(rows, "dice")
    np.testing.assert_allclose(found, [1, 2.5, 11 / 3, 20 / 3])


def test_boxes_with_and_without_a_baseline(small, tmp_path):
    check(draw_boxes(small, changes(small, small.rows), lines_of(small), tmp_path), 1)
    nothing = pd.Series(np.nan, index=small.rows.index)
    check(draw_boxes(small, nothing, lines_of(small), tmp_path), 1)


def test_heat_maps(small, tmp_path):
    check(draw_heat_maps(small, changes(small, small.rows), tmp_path), 1)


def test_a_heat_map_with_missing_pairs(make_run, tmp_path):
    run = read_run(make_run(images=1, seeds=(0,), skip_cells=2, pictures=False))
    check(draw_heat_maps(run, changes(run, run.rows), tmp_path), 1)


def test_the_panel(make_run, tmp_path):
    run = read_run(make_run(sources=("A",), targets=("B",), images=2, seeds=(0,)))
    check(draw_panel(run, changes(run, run.rows), "GraTa", tmp_path), 1)


def test_no_panel_without_pictures(small, tmp_path):
    assert draw_panel(small, changes(small, small.rows), "GraTa", tmp_path) == []


def test_only_one_method_and_one_image(make_run, tmp_path):
    methods = (("GraTa $x_1$", "grata", {}),)
    run = read_run(make_run(methods=methods, sources=("A",), targets=("$B",), images=1, seeds=(0,)))
    change = changes(run, run.rows)
    lines = method_lines(run.methods, run.baseline, "GraTa $x_1$")
    check(draw_curve(run, DICE, lines, tmp_path), 1)
    check(draw_heat_maps(run, change, tmp_path), 1)
    check(draw_boxes(run, change, lines, tmp_path), 1)
    check(draw_panel(run, change, "GraTa $x_1$", tmp_path), 1)


def test_methods_look_different():
    names = tuple(f"m{i}" for i in range(32))
    lines = method_lines(("No Adapt", *names), "No Adapt", "m3")
    assert len({(line.color, line.dash) for line in lines.values()}) == 33
    assert lines["m3"].width > lines["m2"].width
    assert list(lines) == ["No Adapt", *names]


def test_the_same_run_gives_the_same_files(tmp_path):
    for name in ("a", "b"):
        canvas = new_canvas(2, 2)
        canvas.subplots().plot([1, 2])
        save(canvas, tmp_path / name, "f")
    for suffix in (".png", ".pdf"):
        first, second = ((tmp_path / n / f"f{suffix}").read_bytes() for n in "ab")
        assert first == second
