# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the commands for source models."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner

from grata_monai.cli.main import main
from grata_monai.networks import ResUNet34, WithHeads, build_heads, to_reference_keys


def run(*arguments):
    return CliRunner().invoke(main, ["weights", *map(str, arguments)])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """File as the authors publish it, with one head."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = WithHeads(ResUNet34(), build_heads(["rotation"])).half()
    path = tmp_path_factory.mktemp("weights") / "last-Res_Unet.pth"
    state = {**to_reference_keys(network.state_dict()), "res.fc.bias": torch.ones(10)}
    torch.save(state, path)
    return path


def test_import_and_show(checkpoint, tmp_path):
    destination = tmp_path / "new" / "model.pt"
    result = run("import", checkpoint, destination)
    assert result.exit_code == 0, result.output
    assert "(reference format)" in result.output
    assert "taken   267 tensors (encoder.conv1, " in result.output
    assert "dropped 1 tensors (res.fc)" in result.output
    assert "missing 0 tensors" in result.output
    assert str(destination) in result.output

    result = run("show", destination)
    assert result.exit_code == 0, result.output
    lines = dict(line.split(maxsplit=1) for line in result.output.splitlines()[:4])
    rotation = 512 * 256 + 256 + 256 * 64 + 64 + 64 * 6 + 6
    assert lines == {
        "format": "native",
        "tensors": "267",
        "parameters": str(22_041_570 + rotation),
        "heads": "rotation",
    }
    assert "not used    nothing" in result.output


def test_import_without_heads(checkpoint, tmp_path):
    result = run("import", checkpoint, tmp_path / "model.pt", "--no-heads")
    assert "dropped 7 tensors (res.fc, heads.rotation)" in result.output
    assert "heads       none" in run("show", tmp_path / "model.pt").output


def test_import_replaces_only_when_told(checkpoint, tmp_path):
    destination = tmp_path / "model.pt"
    destination.write_text("mine")
    result = run("import", checkpoint, destination)
    assert result.exit_code == 1
    assert result.output == f"Error: {destination} exists; give --force to replace it.\n"
    assert destination.read_text() == "mine"
    assert run("import", checkpoint, destination, "--force").exit_code == 0
    assert destination.stat().st_size > 1_000_000


@pytest.mark.parametrize("command", ["import", "show"])
def test_files_that_are_no_checkpoint_give_one_line(tmp_path, command):
    source = tmp_path / "notes.txt"
    source.write_text("hello")
    more = [tmp_path / "model.pt"] if command == "import" else []
    for path, message in ((source, "is not a checkpoint"), (tmp_path / "no", "no checkpoint file")):
        result = run(command, path, *more)
        assert result.exit_code == 1
        assert len(result.output.splitlines()) == 1
        assert message in result.output
        assert isinstance(result.exception, SystemExit)
    assert not (tmp_path / "model.pt").exists()


def test_a_folder_as_destination(checkpoint, tmp_path):
    result = run("import", checkpoint, tmp_path)
    assert result.exit_code == 2
    assert "is a directory" in result.output
