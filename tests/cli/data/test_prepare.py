# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai data prepare``, ``import-fundus`` and ``paste-back`` as a user calls them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from grata_monai.cli.main import main
from grata_monai.data import fundus_datalist, paint_photograph
from grata_monai.imaging import encode_mask
from tests.preparation.conftest import Drishti, disc_and_cup, photograph, save


@pytest.fixture
def drishti(tmp_path):
    return Drishti(tmp_path / "raw")


def run(*arguments):
    result = CliRunner().invoke(main, ["data", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def prepare(drishti, out, *more):
    options = ("--raw", drishti.root, "--out", out, "--roi-size", 48, "--jobs", 1)
    return run("prepare", "drishti-gs", *options, *more)


def test_complete_run_says_what_it_did(drishti, tmp_path):
    result = prepare(drishti, tmp_path / "Fundus", "--allow-partial")
    assert result.exit_code == 0, result.output
    assert "Research only" in result.output
    assert "neither photograph nor mask was found (97 files)" in result.output
    assert f"Drishti_GS: 4 images in {tmp_path / 'Fundus'} (2 train, 2 test)." in result.output
    again = prepare(drishti, tmp_path / "Fundus", "--allow-partial")
    assert "4 of them before" in again.output


def test_incomplete_run_exits_with_one(drishti, tmp_path):
    result = prepare(drishti, tmp_path / "Fundus")
    assert result.exit_code == 1
    assert "Drishti_GS is not complete (problems: 97)" in result.output
    assert "--allow-partial" in result.output
    assert not list((tmp_path / "Fundus").glob("*.csv"))


def test_dry_run(drishti, tmp_path):
    result = prepare(drishti, tmp_path / "Fundus", "--allow-partial", "--dry-run")
    assert result.exit_code == 0
    assert "4 images would be prepared (2 train, 2 test)" in result.output
    assert not (tmp_path / "Fundus").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["drishti-gs", "--raw", "nowhere", "--out", "x"], 1, "nowhere does not exist"),
        (["drishti-gs", "--out", "x"], 2, "Missing option '--raw'"),
        (
            ["refuge", "--raw", ".", "--out", "x", "--split", "even", "--split-file", "y"],
            2,
            "either",
        ),
        (["refuge", "--raw", ".", "--out", "x", "--split-file", "y"], 2, "y does not exist"),
        (["refuge", "--raw", ".", "--out", "x", "--center", "file"], 2, "go together"),
        (["refuge", "--raw", ".", "--out", "x", "--center-file", "y"], 2, "go together"),
        (["generic", "--raw", ".", "--out", "x", "--name", "a b"], 1, "'name' parameter"),
        (["generic", "--raw", ".", "--out", "x", "--name", "a", "--levels", "1,2"], 2, "three"),
        (["generic", "--raw", ".", "--out", "x", "--name", "a", "--levels", "1,1,2"], 2, "three"),
        (["drishti-gs", "--raw", ".", "--out", "x", "--agreement", "5"], 2, "--agreement"),
        (["drishti", "--raw", "."], 2, "No such command 'drishti'"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    result = run("prepare", *arguments)
    assert result.exit_code == code, result.output
    assert message in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []


def test_own_photographs_with_levels_of_their_own(tmp_path):
    disc, cup = disc_and_cup(1)
    save(photograph(1), tmp_path / "raw/images/1.png")
    save((disc * 100 + cup * 100).astype(np.uint8), tmp_path / "raw/masks/1.png")
    result = run(
        "prepare", "generic", "--raw", tmp_path / "raw", "--out", tmp_path / "out",
        "--name", "Mine", "--roi-size", 48, "--levels", "0,100,200", "--jobs", 1, "--split", "even",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (item,) = fundus_datalist(tmp_path / "out", split="test")
    row, column = (int(places.mean()) for places in np.nonzero(disc))
    expected = encode_mask(np.stack([disc, cup]))[row - 24 : row + 24, column - 24 : column + 24]
    assert np.array_equal(np.asarray(Image.open(item["label"])), expected)


def test_centers_of_the_table_or_of_a_file(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        save(photograph(1), tmp_path / "raw" / name)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("image,center_row,center_col\na/1.png,40,50\n")
    options = (
        "--raw",
        tmp_path / "raw",
        "--name",
        "Mine",
        "--no-masks",
        "--roi-size",
        48,
        "--jobs",
        1,
    )
    result = run(
        "prepare", "generic", *options, "--out", tmp_path / "one", "--pairs", pairs,
        "--center", "file",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    pixels = np.asarray(Image.open(tmp_path / "one/Mine/image/1.png"))
    assert np.array_equal(pixels, photograph(1)[16:64, 26:74])
    centers = tmp_path / "centers.csv"
    centers.write_text("image,x,y\nraw/a/1.png,50,40\nraw/b/1.png,60,45\n")
    result = run(
        "prepare", "generic", *options, "--out", tmp_path / "two", "--center", "file",
        "--center-file", centers,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    for name, window in (("a_1", np.s_[16:64, 26:74]), ("b_1", np.s_[21:69, 36:84])):
        pixels = np.asarray(Image.open(tmp_path / f"two/Mine/image/{name}.png"))
        assert np.array_equal(pixels, photograph(1)[window])


def test_disc_is_found_without_a_mask(tmp_path):
    pixels, mask = paint_photograph("Synthetic_B", seed=1, height=300, width=320)
    save(pixels, tmp_path / "raw/eye.png")
    result = run(
        "prepare", "generic", "--raw", tmp_path / "raw", "--out", tmp_path / "out", "--no-masks",
        "--name", "Mine", "--roi-size", 120, "--jobs", 1,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    row = pd.read_csv(tmp_path / "out/Mine/roi.csv").loc[0]
    assert row["center_from"] == "detect"
    assert mask[round(row["center_row"]), round(row["center_col"])] < 255
    assert "center_confidence_percent=" in row["notes"]


def test_import_and_what_it_does_not_know(drishti, tmp_path):
    prepare(drishti, tmp_path / "Fundus", "--allow-partial")
    source = tmp_path / "Fundus"
    result = run("import-fundus", source, "--out", tmp_path / "copy", "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert len(fundus_datalist(tmp_path / "copy")) == 4
    result = run("import-fundus", source, "--out", tmp_path / "c2", "--domain", "ORIGA")
    assert result.exit_code == 2
    assert "no domain ORIGA; found: Drishti_GS" in " ".join(result.output.split())
    result = run("import-fundus", drishti.root, "--out", tmp_path / "c2")
    assert result.exit_code == 2
    assert "grata-monai data prepare" in " ".join(result.output.split())
    result = run("import-fundus", source, "--out", source)
    assert result.exit_code == 2
    assert "another folder" in result.output


def test_paste_back(drishti, tmp_path):
    prepare(drishti, tmp_path / "Fundus", "--allow-partial")
    grey = np.asarray(Image.open(tmp_path / "Fundus/Drishti_GS/test/mask/drishtiGS_003.png"))
    labels = np.select([grey == 0, grey == 128], [2, 1], 0).astype(np.uint8)
    save(labels, tmp_path / "predictions/drishtiGS_003_seg.png")
    roi = tmp_path / "Fundus/Drishti_GS/roi.csv"
    result = run(
        "paste-back", tmp_path / "predictions", "--roi", roi, "--out", tmp_path / "whole",
        "--raw", drishti.root,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Wrote 1 label maps" in result.output
    whole = np.asarray(Image.open(tmp_path / "whole/drishtiGS_003_seg.png"))
    assert np.array_equal(whole > 0, disc_and_cup(3)[0])
    assert (tmp_path / "whole/drishtiGS_003_overlay.png").is_file()
    result = run("paste-back", tmp_path / "predictions", "--roi", tmp_path / "no.csv", "--out", "x")
    assert result.exit_code == 1
    assert "does not exist" in result.output


@pytest.mark.parametrize("name", ["prepare", "ready_made", "paste_back"])
def test_importing_the_commands_loads_nothing_heavy(name):
    code = (
        f"import sys, grata_monai.cli.data.{name}; "
        "print([name for name in ('numpy', 'torch', 'monai', 'PIL') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_preparing_does_not_load_torch():
    code = (
        "import sys, grata_monai.preparation; "
        "print([name for name in ('torch', 'monai', 'ignite') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
