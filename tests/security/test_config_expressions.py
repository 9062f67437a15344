# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""MONAI evaluates text in configs that begins with $; what comes from data must not get there."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from monai.bundle import ConfigParser
from PIL import Image

from grata_monai.bundle.workflow import as_literal
from grata_monai.cli.main import main

EVIL = "$__import__('os').mkdir('evaluated')"


@pytest.mark.parametrize(
    "value",
    [
        EVIL,
        "$1+1",
        "@other",
        "%other",
        "%#other",
        "a#b::c@other",
        "\\@'\"\n\u00e9\u202e",
        ["$1+1", {"a": EVIL}],
        {"_target_": "os.mkdir", "path": "evaluated"},
        {"_disabled_": "$1", "x": [None, True, 1, 0.5, "@other"]},
        "",
        5,
    ],
)
def test_values_stay_values(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    parser = ConfigParser({"other": 5, "used": "@key", "computed": "$[@key]"})
    parser.update({"key": as_literal(value)})
    assert parser.get_parsed_content("used") == value
    assert parser.get_parsed_content("computed") == [value]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [[float("inf")], {"a": object()}])
def test_what_has_no_literal_is_refused(value):
    with pytest.raises(ValueError, match="must be text, finite numbers"):
        as_literal(value)


def write_images(folder, *names):
    folder.mkdir()
    for name in names:
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(folder / name)
    return folder


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_names_of_lists_are_not_evaluated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = write_images(tmp_path / "data", "a.png")
    for split in ("train", "test"):
        (data / f"{EVIL}_{split}.csv").write_text("image\na.png\n")
    result = run("train", data, "--output", "out", "--domain", "all", "--size", 64)
    assert result.exit_code == 1
    assert "a.png has none" in result.output  # the list was read: there is no mask to train on
    assert not (tmp_path / "evaluated").exists()


def test_options_are_not_evaluated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = write_images(tmp_path / "data", "a.png")
    (tmp_path / "w.pt").write_bytes(b"")
    for value in (EVIL, '{"_target_": "os.mkdir", "path": "evaluated"}'):
        result = run(
            "adapt", data, "--weights", "w.pt", "--output", "out", "--option", f"mapping={value}"
        )
        assert result.exit_code == 1
        assert not (tmp_path / "evaluated").exists()
