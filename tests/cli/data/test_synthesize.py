# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai data synthesize``: what it writes and how it refuses."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from grata_monai.cli.data import data
from grata_monai.cli.data.synthesize import RAW_LAYOUTS
from grata_monai.data import fundus_datalist, write_synthetic_domain


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(data, ["synthesize", *map(str, arguments)])


def test_writes_the_chosen_domains_and_says_so(run, tmp_path):
    out = tmp_path / "new" / "folder"
    result = run(
        out, "--domain", "Synthetic_B", "--domain", "Synthetic_A", "--images", 3, "--size", 32
    )
    assert result.exit_code == 0, result.output
    assert "3 images of 32x32 pixels for each of: Synthetic_B, Synthetic_A" in result.output
    assert sorted(path.name for path in out.glob("*.csv")) == [
        f"Synthetic_{letter}_{split}.csv" for letter in "AB" for split in ("test", "train")
    ]
    assert len(fundus_datalist(out, domain="Synthetic_B")) == 3


def test_writes_the_same_as_the_library_all_five_by_default(run, tmp_path):
    result = run(tmp_path / "cli", "--images", 2, "--size", 32, "--seed", 4)
    assert result.exit_code == 0, result.output
    write_synthetic_domain(tmp_path / "library", "Synthetic_E", images=2, size=32, seed=4)
    expected = [path for path in sorted((tmp_path / "library").rglob("*")) if path.is_file()]
    assert len(expected) == 6
    for path in expected:
        twin = tmp_path / "cli" / path.relative_to(tmp_path / "library")
        assert twin.read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "cli").glob("*.csv"))) == 10


def test_folder_that_is_not_empty_needs_force(run, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    arguments = (tmp_path, "--domain", "Synthetic_A", "--images", 2, "--size", 32)
    result = run(*arguments)
    assert result.exit_code == 2
    assert "is not empty" in result.output
    assert "--force" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert run(*arguments, "--force").exit_code == 0
    assert (tmp_path / "mine.txt").read_text() == "keep"
    assert len(fundus_datalist(tmp_path)) == 2


def test_unknown_domain_suggests_the_closest(run, tmp_path):
    result = run(tmp_path / "out", "--domain", "Synthetic-A")
    assert result.exit_code == 2
    assert "did you mean 'Synthetic_A'?" in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("option", "value"), [("--images", 1), ("--size", 8), ("--seed", -1)])
def test_numbers_out_of_range(run, tmp_path, option, value):
    result = run(tmp_path / "out", option, value)
    assert result.exit_code == 2
    assert option in result.output
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_made(run, tmp_path):
    (tmp_path / "file").write_text("x")
    result = run(tmp_path / "file" / "out", "--domain", "Synthetic_A", "--images", 2, "--size", 32)
    assert result.exit_code == 1
    assert "Error: Cannot write into" in result.output
    assert "Traceback" not in result.output


def files_below(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_raw_layout_is_what_the_library_writes(run, tmp_path):
    from grata_monai.preparation.synthetic_raw import write_synthetic_raw

    out = tmp_path / "cli"
    result = run(out, "--layout", "drishti-gs", "--images", 3, "--scale", 0.05, "--seed", 4)
    assert result.exit_code == 0, result.output
    assert "Wrote 3 raw images in the layout drishti-gs into" in result.output
    library = write_synthetic_raw(tmp_path / "library", "drishti-gs", images=3, scale=0.05, seed=4)
    assert files_below(out) == files_below(library)


def test_all_raw_writes_each_set_into_a_folder_of_its_name(run, tmp_path):
    from grata_monai.preparation import synthetic_raw

    assert RAW_LAYOUTS == synthetic_raw.RAW_LAYOUTS
    result = run(tmp_path, "--layout", "all-raw", "--images", 2, "--scale", 0.05, "--zip")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(RAW_LAYOUTS)
    for layout in RAW_LAYOUTS:
        assert {path.suffix for path in (tmp_path / layout).iterdir()} == {".zip"}
        assert f"2 raw images in the layout {layout}" in result.output


def test_set_that_is_smaller_than_asked_for_is_written_whole(run, tmp_path, monkeypatch):
    from grata_monai.preparation import synthetic_raw

    asked = []
    monkeypatch.setattr(
        synthetic_raw, "write_synthetic_raw", lambda *args, **options: asked.append(options)
    )
    result = run(tmp_path, "--layout", "drishti-gs", "--images", 500)
    assert result.exit_code == 0, result.output
    assert "Wrote 101 raw images" in result.output
    assert asked[0]["images"] == 500


def test_raw_layout_refuses_a_folder_that_is_not_empty(run, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    arguments = (tmp_path, "--layout", "refuge-valid", "--images", 2, "--scale", 0.05)
    result = run(*arguments)
    assert result.exit_code == 2
    assert "is not empty" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert run(*arguments, "--force").exit_code == 0
    assert (tmp_path / "mine.txt").read_text() == "keep"
    assert (tmp_path / "Test400" / "T0400.jpg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--scale", 0.5), "--scale is for raw layouts, not for the layout authors"),
        (("--zip",), "--zip is for raw layouts, not for the layout authors"),
        (
            ("--layout", "origa", "--size", 64),
            "--size is for the layout authors, not for the layout origa",
        ),
        (
            ("--layout", "all-raw", "--domain", "Synthetic_A"),
            "--domain is for the layout authors, not for the layout all-raw",
        ),
        (("--layout", "rim-one"), "'rim-one' is not one of"),
        (("--layout", "origa", "--scale", 0.01), "--scale"),
    ],
)
def test_options_that_do_not_fit_the_layout(run, tmp_path, arguments, message):
    result = run(tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_importing_the_command_loads_nothing_heavy():
    code = (
        "import sys, grata_monai.cli.data.synthesize; "
        "print([name for name in ('numpy', 'torch', 'monai', 'PIL') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
