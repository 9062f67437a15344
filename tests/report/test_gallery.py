# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The browser's data: which images, small pictures, outlines, and nothing from elsewhere."""

from __future__ import annotations

import base64
import io
import json

import pandas as pd
import pytest
from PIL import Image

from grata_monai.report import read_run
from grata_monai.report.gallery import build_gallery, changes, choose_images, inside, last_round
from grata_monai.report.html import gallery_note

IMAGE, STREAM, METHOD, DISC, CUP, RATIO, DISC_PATH, CUP_PATH, POSITION, ERROR = range(10)


@pytest.fixture(scope="module")
def gallery(finished_run):
    return build_gallery(read_run(finished_run), max_images=100)


def test_every_image_and_every_prediction(gallery):
    assert len(gallery.images) == 15
    assert len(gallery.results) == 160
    assert gallery.left_out == gallery.without_picture == 0
    assert {stream["source"] for stream in gallery.streams} == {"REFUGE", "ORIGA"}
    assert len(gallery.streams) == 4


def test_scores_belong_to_their_image(finished_run, gallery):
    run = read_run(finished_run)
    row = run.rows.iloc[33]
    stream = {"source": row["source"], "protocol": "grata", "seed": str(int(row["seed"]))}
    [result] = [
        r
        for r in gallery.results
        if gallery.images[r[IMAGE]]["name"] in row["image"]
        and gallery.streams[r[STREAM]] == stream
        and run.methods[r[METHOD]] == row["method"]
    ]
    assert result[DISC] == pytest.approx(row["dice_disc"], abs=0.006)
    assert result[CUP] == pytest.approx(row["dice_cup"], abs=0.006)
    assert result[POSITION] == row["position"]
    assert result[DISC_PATH].startswith("M")
    assert result[ERROR] == ""


def test_pictures_are_small_jpegs(make_run):
    run = read_run(make_run(images=1, size=300, sources=("A",), targets=("B",), seeds=(0,)))
    [image] = build_gallery(run, max_images=9).images
    head, data = image["src"].split(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.size == (256, 256)
    assert image["height"] == 1000


def test_it_can_be_written_as_json(gallery):
    json.dumps([gallery.images, gallery.streams, gallery.results], allow_nan=False)


def test_changes_compare_the_same_image_seed_and_source(finished_run):
    run = read_run(finished_run)
    found = changes(run, run.rows)
    row = run.rows.iloc[-1]
    same = run.rows[
        (run.rows["source"] == row["source"])
        & (run.rows["seed"] == row["seed"])
        & (run.rows["image"] == row["image"])
        & (run.rows["method"] == "No Adapt")
    ]
    assert len(same) == 1
    assert found.iloc[-1] == pytest.approx(row["dice"] - same["dice"].iloc[0])
    assert (found[run.rows["method"] == "No Adapt"] == 0).all()


def test_changes_without_a_baseline(make_run):
    run = read_run(make_run(methods=(("GraTa", "grata", {}),), pictures=False))
    assert changes(run, run.rows).isna().all()


def test_worst_and_best_are_always_chosen(make_run):
    run = read_run(make_run(images=40, sources=("A",), targets=("B", "C"), pictures=False))
    chosen = choose_images(run, run.rows, 16)
    assert len(chosen) == len(set(chosen)) == 16
    assert sum(domain == "B" for domain, _ in chosen) == 8
    scored = run.rows.assign(change=changes(run, run.rows))
    for domain in ("B", "C"):
        of_domain = scored[scored["target"] == domain]
        for extreme in (of_domain["change"].idxmin(), of_domain["change"].idxmax()):
            assert (domain, of_domain.loc[extreme, "image"]) in chosen


def test_a_small_domain_leaves_its_share_to_others():
    run = type("Run", (), {"targets": ("A", "B"), "baseline": None})()
    names = [("A", f"a{i}") for i in range(2)] + [("B", f"b{i}") for i in range(20)]
    rows = pd.DataFrame(names, columns=["target", "image"]).assign(dice=range(22))
    chosen = choose_images(run, rows, 10)
    assert [domain for domain, _ in chosen].count("A") == 2
    assert len(chosen) == 10


@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_few_images(finished_run, most):
    run = read_run(finished_run)
    gallery = build_gallery(run, max_images=most)
    assert len(gallery.images) == most
    assert gallery.left_out == 15 - most
    assert "--max-images" in gallery_note(gallery)


def test_the_last_round_is_shown(make_run):
    run = read_run(make_run(protocols=("vptta",), rounds=3, sources=("A",), pictures=False))
    kept = last_round(run.rows)
    assert len(kept) * 3 == len(run.rows)
    assert set(kept["round"]) == {3}


def test_a_run_without_pictures(make_run):
    gallery = build_gallery(read_run(make_run(pictures=False)), max_images=100)
    assert gallery.without_picture == 15
    assert gallery.images[0]["src"] == ""
    assert gallery.images[0]["truth"] is None
    assert gallery.results[0][DISC_PATH] is None
    assert "kept no picture" in gallery_note(gallery)


def test_broken_pictures_are_left_out(make_run):
    folder = make_run(images=1, seeds=(0,), methods=(("GraTa", "grata", {}),))
    broken = next((folder / "pictures").rglob("*.png"))
    broken.write_bytes(b"no picture")
    assert build_gallery(read_run(folder), max_images=100).without_picture == 1


def test_a_picture_is_taken_from_whichever_method_has_it(make_run):
    folder = make_run(images=1, sources=("A",), targets=("B",), seeds=(0,))
    run = read_run(folder)
    run.rows.loc[run.rows["method"] != "TENT", ["picture", "truth"]] = ""
    [image] = build_gallery(run, max_images=9).images
    assert image["src"].startswith("data:image/jpeg")
    assert image["truth"][0].startswith("M")


def test_files_outside_the_run_are_not_read(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "secret.png").touch()
    (run / "own.png").touch()
    assert inside(run, "own.png") == run / "own.png"
    assert inside(run, "../secret.png") is None
    assert inside(run, str(tmp_path / "secret.png")) is None
    assert inside(run, "") is None
    assert inside(run, float("nan")) is None


def test_a_negative_number_of_images(finished_run):
    with pytest.raises(ValueError, match="'max_images' parameter of report must be an integer"):
        build_gallery(read_run(finished_run), max_images=-1)
