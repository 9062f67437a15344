# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai data locate``: the list, the pictures, what it says and what it refuses."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from grata_monai.cli.main import main
from grata_monai.data import fundus_datalist
from grata_monai.data.synthetic_photograph import paint_photograph
from grata_monai.localization import read_centers
from grata_monai.networks import source_network
from grata_monai.training import save_source_weights


@pytest.fixture(scope="module")
def truth():
    return {}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory, truth):
    """Two photographs of one name in two folders, and one without anything on it."""
    folder = tmp_path_factory.mktemp("raw")
    for seed, name in enumerate(("left/7.png", "right/7.png")):
        photograph, mask = paint_photograph("Synthetic_B", seed=seed, height=220, width=256)
        (folder / name).parent.mkdir()
        Image.fromarray(photograph).save(folder / name)
        truth[name] = mask
    Image.new("RGB", (60, 50), (9, 9, 9)).save(folder / "empty.png")
    return folder


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(main, ["data", "locate", *map(str, arguments)])


def check_rows(folder, table, truth):
    for name, mask in truth.items():
        row = table.loc[(folder / name).as_posix()]
        assert mask[round(row["center_row"]), round(row["center_col"])] < 255


def read_table(path):
    table = pd.read_csv(path)
    table.index = [(path.parent / image).resolve().as_posix() for image in table["image"]]
    return table


def test_list_pictures_and_summary(run, photographs, truth, tmp_path):
    out, previews = tmp_path / "lists" / "centers.csv", tmp_path / "previews"
    result = run(photographs, "--out", out, "--previews", previews, "--jobs", 2)
    assert result.exit_code == 0, result.output
    table = read_table(out)
    assert len(table) == 3
    check_rows(photographs, table, truth)
    assert set(table["method"]) == {"classical"}
    assert f"Located the disc in 3 of 3 images (1 to look at); wrote {out}" in result.output
    assert f"0.00 {photographs / 'empty.png'} (nothing to see" in result.output
    assert sorted(path.name for path in previews.iterdir()) == [
        "7_located.png",
        "7~2_located.png",
        "contact_sheet.png",
        "empty_located.png",
    ]
    items = {item["image"]: item["disc_center"] for item in fundus_datalist(out)}
    assert len(items) == 3
    assert read_centers(out)["left/7.png"] == items[str(photographs / "left" / "7.png")]


def test_the_least_confident_comes_first_on_the_sheet(run, photographs, tmp_path):
    previews = tmp_path / "previews"
    run(photographs, "--out", tmp_path / "c.csv", "--previews", previews, "--jobs", 1)
    sheet = np.asarray(Image.open(previews / "contact_sheet.png")).astype(int)
    third = sheet.shape[1] // 3
    red = [sheet[:, start : start + third, 0].mean() for start in (0, third, 2 * third)]
    empty = np.asarray(Image.open(previews / "empty_located.png"))[..., 0].mean()
    others = np.asarray(Image.open(previews / "7_located.png"))[..., 0].mean()
    assert empty < others
    assert min(red) == red[0]


def test_one_image_and_a_list(run, photographs, truth, tmp_path):
    image = photographs / "left" / "7.png"
    assert run(image, "--out", tmp_path / "one.csv").exit_code == 0
    (tmp_path / "list.csv").write_text(f"image\n{image}\n{image}\n")
    result = run(tmp_path / "list.csv", "--out", tmp_path / "two.csv", "--jobs", 1)
    assert "in 1 of 1 images" in result.output
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_confidence_and_diameter_are_options(run, photographs, tmp_path):
    options = ("--out", tmp_path / "c.csv", "--jobs", 1, "--min-confidence", 0, "--force")
    result = run(photographs / "left" / "7.png", *options, "--disc-diameter", 40)
    assert "in 1 of 1 images (0 to look at)" in result.output
    assert "Look at these" not in result.output


def test_broken_images_are_all_reported_and_the_others_written(run, photographs, truth, tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    good = next(iter(truth))
    (folder / "good.png").write_bytes((photographs / good).read_bytes())
    (folder / "cut.png").write_bytes((photographs / good).read_bytes()[:3000])
    (folder / "no.png").write_bytes(b"text")
    Image.new("RGB", (20, 20)).save(folder / "small.png")
    out = tmp_path / "centers.csv"
    result = run(folder, "--out", out, "--jobs", 1)
    assert result.exit_code == 1
    assert "the disc cannot be located (3 files). Export the image again." in result.output
    for name in ("cut", "no", "small"):
        assert f"{folder / name}.png (" in result.output
    assert "at least 32 pixels" in result.output
    assert f"in 1 of 4 images (0 to look at, 3 not usable); wrote {out}" in result.output
    assert list(pd.read_csv(out)["image"]) == ["raw/good.png"]


def test_only_broken_images_give_no_list(run, tmp_path):
    (tmp_path / "no.png").write_bytes(b"text")
    previews = tmp_path / "previews"
    out = tmp_path / "centers.csv"
    result = run(tmp_path / "no.png", "--out", out, "--previews", previews, "--jobs", 1)
    assert result.exit_code == 1
    assert not out.exists()
    assert not previews.exists()
    assert "in 0 of 1 images (0 to look at, 1 not usable)\n" in result.output


def test_nothing_is_replaced_unless_forced(run, photographs, tmp_path):
    out, previews = tmp_path / "centers.csv", tmp_path / "previews"
    image = photographs / "left" / "7.png"
    out.write_text("corrected by hand")
    result = run(image, "--out", out)
    assert result.exit_code == 2
    assert "maybe with corrections" in result.output
    assert out.read_text() == "corrected by hand"
    assert run(image, "--out", out, "--force", "--jobs", 1).exit_code == 0
    previews.mkdir()
    (previews / "old.png").touch()
    result = run(image, "--out", tmp_path / "new.csv", "--previews", previews)
    assert result.exit_code == 2
    assert "is not empty" in result.output
    assert run(image, "--out", previews).exit_code == 2


def test_a_source_that_is_not_there(run, tmp_path):
    result = run(tmp_path / "none", "--out", tmp_path / "c.csv")
    assert result.exit_code == 1
    assert "does not exist" in result.output


def test_stopping_writes_nothing(run, photographs, tmp_path, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("grata_monai.preparation.parallel.parallel_map", stop)
    result = run(photographs, "--out", tmp_path / "c.csv")
    assert result.exit_code == 130
    assert "no list was written" in result.output
    assert not (tmp_path / "c.csv").exists()


def test_two_passes_with_a_network(run, photographs, tmp_path):
    torch.manual_seed(0)
    save_source_weights(source_network(), tmp_path / "model.pt")
    options = ("--weights", tmp_path / "model.pt", "--size", 64, "--roi-size", 96)
    image = photographs / "left" / "7.png"
    result = run(image, "--out", tmp_path / "c.csv", *options, "--device", "cpu")
    assert result.exit_code == 0, result.output
    row = pd.read_csv(tmp_path / "c.csv").iloc[0]
    assert row["method"] == "network" or "the network saw no disc" in row["note"]


def test_the_command_is_light_until_it_runs():
    code = """
import sys
import grata_monai.cli.data.locate
heavy = {"torch", "monai", "numpy", "PIL", "skimage"} & set(sys.modules)
assert not heavy, heavy
import grata_monai.localization.files
heavy = {"torch", "monai", "pandas"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
