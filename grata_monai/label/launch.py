# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How MONAI Label's server is started with an app of ours."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

from grata_monai._checks import check_choice
from grata_monai.label.service import MODEL_FOLDER
from grata_monai.label.settings import LabelSettings
from grata_monai.label.versions import ModelVersions

_TRUE = {"1", "true", "t", "yes", "y", "on"}  # as pydantic reads settings
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def app_versions(app_dir: str | os.PathLike[str]) -> ModelVersions:
    """Return the versions of an app's model.

    Raises:
        ValueError: If the folder is no app.
    """
    path = Path(app_dir)
    if not (path / "main.py").is_file():
        raise ValueError(
            f"{path} is no app folder. Make one: grata-monai label init {path} --weights FILE"
        )
    return ModelVersions(path / MODEL_FOLDER)


def server_command(
    app_dir: str | os.PathLike[str],
    studies: str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    scoring: bool = True,
    conf: Mapping[str, str] | None = None,
) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs the server, and its environment; all is checked before.

    Args:
        app_dir: The app's folder.
        studies: Folder of photographs.
        host: Address to listen at; other than this machine's own it needs the sign-in.
        port: Port to listen at.
        scoring: Whether studies are scored in the background.
        conf: Settings to put over those of ``settings.json``, as text.

    Returns:
        Arguments, the interpreter first, and environment variables. MONAI Label's own settings
        (``MONAI_LABEL_*``) that are set already are kept.

    Raises:
        ValueError: If MONAI Label is not installed here, the app is none, or the port is taken.
        FileNotFoundError: If the app has no model, or there is no such folder of studies.
    """
    app, folder = Path(app_dir).absolute(), Path(studies).absolute()
    app_versions(app).current()
    LabelSettings.read(app, conf)
    for key in conf or ():
        check_choice(
            "the annotation server", "conf", key, [one.name for one in fields(LabelSettings)]
        )
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder} of photographs.")
    if find_spec("monailabel") is None:
        raise ValueError(
            "MONAI Label is not installed in this environment. 'bash scripts/label.sh' makes one "
            "for it; by hand: pip install 'grata-monai[label]' (Python 3.10 to 3.12)."
        )
    environment = {**_defaults(app, scoring), **os.environ}
    has_sign_in = environment.get("MONAI_LABEL_AUTH_ENABLE", "").strip().lower() in _TRUE
    if not has_sign_in and host not in _LOOPBACK:
        raise ValueError(
            f"Anybody who reaches {host} could read and change the studies. Set "
            "MONAI_LABEL_AUTH_ENABLE=true and MONAI_LABEL_AUTH_REALM_URI (sign-in), or listen at "
            "127.0.0.1 and put a gateway with sign-in before it."
        )
    _check_port(host, port)
    command = [sys.executable, "-m", "monailabel.main", "start_server"]
    command += ["--app", str(app), "--studies", str(folder)]
    command += ["--host", host, "--port", str(port)]
    command += [part for pair in (conf or {}).items() for part in ("--conf", *pair)]
    return [*command, "--uvicorn_app", "grata_monai.label.server.asgi:app"], environment


def _defaults(app: Path, scoring: bool) -> dict[str, str]:
    """Return MONAI Label's settings where ours are safer or fit better than its own."""
    return {
        "MONAI_LABEL_APP_DIR": str(app),
        "MONAI_LABEL_AUTO_UPDATE_SCORING": str(scoring).lower(),
        "MONAI_LABEL_TRACKING_ENABLED": "false",
    }


def _check_port(host: str, port: int) -> None:
    """Check that nobody listens at the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ValueError(
                f"Cannot listen at {host}:{port}: {error.strerror}. Choose another --port."
            ) from error
