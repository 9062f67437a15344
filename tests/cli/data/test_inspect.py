# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The commands that inspect a prepared folder, as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import pytest
from click.testing import CliRunner

from grata_monai.cli.main import main
from grata_monai.data import write_synthetic_domain

A, B = "Synthetic_A", "Synthetic_B"


def run(*arguments):
    result = CliRunner().invoke(main, ["data", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def root(tmp_path):
    for domain in (A, B):
        write_synthetic_domain(tmp_path / "Fundus", domain, images=3, size=48)
    return tmp_path / "Fundus"


def test_verify_a_folder_that_is_right(root):
    result = run("verify", root, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "0 errors, 0 warnings" in result.output
    assert A in result.output
    assert "48x48 (3)" in result.output


def test_verify_errors(root, tmp_path):
    (root / A / "train" / "mask" / "synthetic_a_0000.png").unlink()
    report = tmp_path / "new" / "report.json"
    result = run("verify", root, "--jobs", 1, "--report", report)
    assert result.exit_code == 1
    assert "the file is missing (1 file). Move it there" in result.output
    assert "1 errors, 0 warnings" in result.output
    assert json.loads(report.read_text())["errors"] == 1
    assert run("verify", root, "--domain", B, "--jobs", 1).exit_code == 0


def test_verify_strict_fails_on_warnings(root):
    (root / A / "stray.txt").touch()
    assert run("verify", root, "--jobs", 1).exit_code == 0
    result = run("verify", root, "--jobs", 1, "--strict")
    assert result.exit_code == 1
    assert "no list names the file" in result.output


def test_verify_against(root, tmp_path):
    out = tmp_path / "rows.csv"
    # a shift cannot be measured on crops of 48 pixels, which are smooth, but is none
    result = run("verify-against", root, root, "--jobs", 1, "--max-shift", 0, "--out", out)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out)
    assert len(table) == 6
    assert (table["cup_dice"] == 1).all()


def test_verify_against_other_pictures(root, tmp_path):
    write_synthetic_domain(tmp_path / "other", A, images=3, size=48, seed=5)
    result = run("verify-against", root, tmp_path / "other", "--jobs", 1)
    assert result.exit_code == 1
    assert "not the same picture (3 files)" in result.output


def test_summary_on_the_screen_and_in_a_file(root, tmp_path):
    result = run("summary", root, "--domain", A, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "3 (2+1)" in result.output
    assert B not in result.output
    out = tmp_path / "new" / "table.md"
    result = run("summary", root, "--jobs", 1, "--format", "markdown", "--out", out)
    assert result.exit_code == 0, result.output
    assert out.read_text(encoding="utf-8").count("\n") == 4


def test_summary_names_what_it_leaves_out(root):
    (root / A / "train" / "image" / "synthetic_a_0000.png").write_bytes(b"")
    result = run("summary", root, "--jobs", 1)
    assert result.exit_code == 0
    assert f"left out: {A}/train/image/synthetic_a_0000.png: Cannot read" in result.output


def test_preview_goes_beside_the_folder(root, tmp_path):
    result = run("preview", root, "--jobs", 1, "--tile", 32)
    assert result.exit_code == 0, result.output
    sheets = sorted(path.name for path in (tmp_path / "Fundus_preview").iterdir())
    assert sheets == [f"{A}.png", f"{B}.png"]
    result = run("preview", root, "--all", "--images", 2, "--jobs", 1, "--out", tmp_path / "o")
    assert len(list((tmp_path / "o").iterdir())) == 4


def test_datalist(root, tmp_path):
    out = tmp_path / "list.json"
    arguments = ("datalist", root, "--domain", A, "--out", out, "--jobs", 1)
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "2 training and 1 test images" in result.output
    assert "Labels: grey levels" in result.output
    assert len(json.loads(out.read_text())) == 3
    maps = ("--format", "decathlon", "--folds", 2, "--label-maps", tmp_path / "labels")
    result = run(*arguments, *maps)
    assert result.exit_code == 0, result.output
    assert "Labels: 0 background, 1 rim (disc without cup), 2 cup." in result.output
    assert json.loads(out.read_text())["numTraining"] == 2


@pytest.mark.parametrize("command", ["verify", "summary", "preview"])
def test_mistakes_end_in_one_line(command, root, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, message in (
        ((tmp_path / "missing",), "is not a folder"),
        ((empty,), "has no lists"),
        ((root, "--domain", "Synthetic_a"), "Did you mean 'Synthetic_A'?"),
    ):
        result = run(command, *arguments)
        assert result.exit_code == 1
        assert message in result.output
        assert "Traceback" not in result.output


def test_mistakes_of_datalist_and_verify_against(root, tmp_path):
    result = run("datalist", root, "--domain", "X", "--out", tmp_path / "x.json")
    assert result.exit_code == 1
    assert "has no domain 'X'. It has: Synthetic_A, Synthetic_B." in result.output
    write_synthetic_domain(tmp_path / "other", "Synthetic_E", images=2, size=32)
    result = run("verify-against", root, tmp_path / "other")
    assert result.exit_code == 1
    assert "no domain in common" in result.output


def test_help_needs_neither_torch_nor_pandas():
    code = (
        "import sys, importlib\n"
        "for name in ('verify', 'compare', 'summary', 'preview', 'datalist'):\n"
        "    importlib.import_module(f'grata_monai.cli.data.{name}')\n"
        "print(sorted({'torch', 'monai', 'pandas', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_work_needs_no_torch(root):
    code = (
        "import sys\n"
        "from grata_monai.cli.main import main\n"
        f"main(['data', 'verify', {str(root)!r}, '--jobs', '1'], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules or 'monai' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
