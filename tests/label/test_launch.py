# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
import sys
from types import SimpleNamespace

import pytest

from grata_monai.label import LabelSettings, app_versions, init_app, launch, server_command


@pytest.fixture
def installed(monkeypatch):
    """As if MONAI Label were installed."""
    monkeypatch.setattr(launch, "find_spec", lambda name: SimpleNamespace(name=name))
    monkeypatch.delenv("MONAI_LABEL_AUTH_ENABLE", raising=False)


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_init_writes_three_lines_settings_and_the_model(tmp_path, weights):
    version = init_app(tmp_path / "app", weights, LabelSettings(image_size=64))
    lines = (tmp_path / "app" / "main.py").read_text().splitlines()
    assert len(lines) == 3
    compile("\n".join(lines), "main.py", "exec")
    assert LabelSettings.read(tmp_path / "app").image_size == 64
    assert app_versions(tmp_path / "app").current() == version


def test_init_never_replaces_an_app(app, weights):
    with pytest.raises(ValueError, match="is an app already"):
        init_app(app, weights)


def test_init_with_wrong_weights_leaves_no_app(tmp_path):
    (tmp_path / "no.pt").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"no\.pt"):
        init_app(tmp_path / "app", tmp_path / "no.pt")
    with pytest.raises(ValueError, match="is no app folder"):
        app_versions(tmp_path / "app")


def test_the_command_runs_this_interpreter_on_loopback(installed, app, photographs, port):
    command, environment = server_command(app, photographs, port=port)
    assert command[:4] == [sys.executable, "-m", "monailabel.main", "start_server"]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--uvicorn_app") + 1] == "grata_monai.label.server.asgi:app"
    assert environment["MONAI_LABEL_APP_DIR"] == str(app)


def test_settings_for_once_are_checked_and_passed_on(installed, app, photographs, port):
    command, _ = server_command(app, photographs, port=port, conf={"method": "tent"})
    at = command.index("--conf")
    assert command[at : at + 3] == ["--conf", "method", "tent"]
    for conf in ({"method": "magic"}, {"method_": "tent"}):
        with pytest.raises(ValueError, match="must be one of"):
            server_command(app, photographs, port=port, conf=conf)


def test_settings_of_the_user_are_kept(installed, app, photographs, port, monkeypatch):
    monkeypatch.setenv("MONAI_LABEL_AUTO_UPDATE_SCORING", "false")
    _, environment = server_command(app, photographs, port=port)
    assert environment["MONAI_LABEL_AUTO_UPDATE_SCORING"] == "false"


def test_a_taken_port(installed, app, photographs):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ValueError, match="Choose another --port"):
            server_command(app, photographs, port=other.getsockname()[1])


def test_an_open_server_is_not_shown_to_the_network(installed, app, photographs, port, monkeypatch):
    for value in (None, "false", "off", "n", "f", "0", ""):
        if value is not None:
            monkeypatch.setenv("MONAI_LABEL_AUTH_ENABLE", value)
        with pytest.raises(ValueError, match="MONAI_LABEL_AUTH_ENABLE"):
            server_command(app, photographs, host="0.0.0.0", port=port)
    monkeypatch.setenv("MONAI_LABEL_AUTH_ENABLE", "true")
    command, _ = server_command(app, photographs, host="0.0.0.0", port=port)
    assert "0.0.0.0" in command


def test_missing_things_are_named(app, photographs, tmp_path, monkeypatch, port):
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "none")):
        server_command(app, tmp_path / "none", port=port)
    with pytest.raises(ValueError, match="label init"):
        server_command(tmp_path, photographs, port=port)
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"scripts/label\.sh"):
        server_command(app, photographs, port=port)
