# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The real server in a process of its own, and the real client."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager
from pathlib import Path

from grata_monai.label import init_app

PATIENCE = 180.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class LiveServer:
    """``grata-monai label start`` on a free port; a context manager that ends it.

    Args:
        app: Folder of the app.
        studies: Folder of photographs.
        log: File for what the server prints.
        environment: More environment variables.
        options: More options of the command.
    """

    def __init__(self, app, studies, log, *, environment=None, options=()):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = Path(log)
        self.environment = {**os.environ, **(environment or {})}
        self.command = [sys.executable, "-m", "grata_monai", "label", "start", str(app)]
        self.command += ["--studies", str(studies), "--port", str(self.port), *options]

    def __enter__(self):
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                self.command, stdout=file, stderr=subprocess.STDOUT, env=self.environment
            )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"The server ended:\n{self.log.read_text()[-3000:]}")
            try:
                if self.request("GET", "/grata/auth")[0] == 200:
                    return self
            except OSError:
                time.sleep(0.2)
        self.__exit__()
        raise RuntimeError(f"The server did not start:\n{self.log.read_text()[-3000:]}")

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def request(self, method, path, body=None, headers=None):
        """Return (status, bytes, headers) of any request, also one that failed."""
        request = urllib.request.Request(
            self.url + path, data=body, method=method, headers=headers or {}
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return response.status, response.read(), dict(response.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)

    def json(self, method, path, body=None, headers=None):
        """Return the JSON of a request that must not fail."""
        data = None if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if data else {}
        status, content, _ = self.request(method, path, data, {**kind, **(headers or {})})
        assert status == 200, content
        return json.loads(content)

    def form(self, method, path, *, fields=None, files=None, headers=None):
        """Send a form with files {key: (name, bytes)}; return (status, bytes, headers)."""
        boundary = uuid.uuid4().hex
        body = b""
        for key, value in (fields or {}).items():
            body += _part(boundary, f'name="{key}"', value.encode())
        for key, (name, content) in (files or {}).items():
            body += _part(boundary, f'name="{key}"; filename="{name}"', content)
        body += f"--{boundary}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self.request(method, path, body, {**kind, **(headers or {})})

    def resident_megabytes(self):
        """Return the memory that the server's process holds."""
        import psutil

        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    def wait_for(self, path, *, task, patience=PATIENCE):
        """Return a background task's status after its end."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            status = [one for one in self.json("GET", f"{path}?all=true") if one["id"] == task]
            if status and status[0]["status"] not in {"SUBMITTED", "RUNNING"}:
                return status[0]
            time.sleep(0.3)
        raise RuntimeError(f"{path} did not end: {status}")


@contextmanager
def serving(tmp_path_factory, weights, settings, photographs, **more):
    """Start a server of its own on copies of everything."""
    root = tmp_path_factory.mktemp("live")
    init_app(root / "app", weights, settings)
    shutil.copytree(photographs, root / "studies")
    (root / "secret.png").write_bytes((root / "studies" / "eye 0.png").read_bytes())
    with LiveServer(root / "app", root / "studies", root / "log", **more) as live:
        live.root = root
        yield live


def _part(boundary, disposition, content):
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return head.encode() + content + b"\r\n"
