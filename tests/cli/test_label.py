# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from grata_monai.cli import label as commands
from grata_monai.cli.main import main


@pytest.fixture
def run():
    def run(*arguments):
        return CliRunner().invoke(main, ["label", *map(str, arguments)])

    return run


@pytest.fixture
def app(run, weights, tmp_path):
    result = run("init", tmp_path / "app", "--weights", weights, "--size", 64, "--regions")
    assert result.exit_code == 0, result.output
    return tmp_path / "app"


def test_init_takes_the_settings(app):
    settings = json.loads((app / "settings.json").read_text())
    assert (settings["image_size"], settings["framing"]) == (64, "regions")


def test_init_twice_is_one_line_and_harmless(run, app, weights):
    before = (app / "settings.json").read_bytes()
    result = run("init", app, "--weights", weights)
    assert result.exit_code == 1
    assert "is an app already" in result.output
    assert (app / "settings.json").read_bytes() == before


def test_wrong_settings_write_nothing(run, weights, tmp_path):
    result = run("init", tmp_path / "other", "--weights", weights, "--size", 65)
    assert result.exit_code == 1
    assert "multiple of 32" in result.output
    assert not (tmp_path / "other").exists()


def test_versions_are_added_listed_and_used(run, app, weights):
    assert run("add", app, weights, "--note", "the same again").exit_code == 0
    listed = run("versions", app).output.splitlines()
    assert [line[:7] for line in listed] == ["  v0001", "* v0002"]
    assert "the same again" in listed[1]
    assert run("use", app, "v0001").exit_code == 0
    assert run("versions", app).output.startswith("* v0001")
    result = run("use", app, "v0009")
    assert result.exit_code == 1
    assert "v0001, v0002" in result.output


def test_rolling_back_to_the_parent(run, app, weights):
    from grata_monai.label import app_versions

    result = run("use", app, "previous")
    assert result.exit_code == 1
    assert "made from no other one" in result.output
    app_versions(app).add(weights, kind="fine_tuned", parent="v0001")
    assert "v0001 is served now" in run("use", app, "previous").output
    assert app_versions(app).current().name == "v0001"


def test_a_folder_that_is_no_app(run, tmp_path, weights):
    for arguments in (["versions", tmp_path], ["add", tmp_path, weights], ["use", tmp_path, "x"]):
        result = run(*arguments)
        assert result.exit_code == 1
        assert "is no app folder" in result.output


def test_start_becomes_the_server(run, app, tmp_path, monkeypatch):
    from grata_monai.label import launch

    started = []
    monkeypatch.setattr(launch, "find_spec", lambda name: name)
    monkeypatch.setattr(launch, "_check_port", lambda host, port: None)
    monkeypatch.setattr(commands.os, "execve", lambda *arguments: started.append(arguments))
    result = run("start", app, "--studies", tmp_path, "--port", 8123, "--no-scoring")
    assert result.exit_code == 0, result.output
    assert "http://127.0.0.1:8123/grata/" in result.output
    (program, arguments, environment) = started[0]
    assert program == arguments[0]
    assert environment["MONAI_LABEL_AUTO_UPDATE_SCORING"] == "false"


def test_start_on_a_missing_folder(run, app, tmp_path):
    result = run("start", app, "--studies", tmp_path / "none")
    assert result.exit_code == 1
    assert "none" in result.output
