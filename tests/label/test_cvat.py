# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""CVAT's function between a CVAT and a server that only stand in."""

from __future__ import annotations

import ast
import base64
import email
import email.policy
import http.server
import json
import runpy
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import grata_monai.label

FOLDER = Path(grata_monai.label.__file__).parent / "cvat"
PNG = b"\x89PNG\r\n\x1a\n\r\n--not a boundary\r\n\x00\xff"
RESULT = {
    "confidence": 0.75,
    "annotations": [
        {
            "annotations": [
                {"label": "optic disc", "contours": [[[1, 2], [3.5, 4], [5, 6]], [[0, 0], [9, 9]]]},
                {"label": "optic cup", "contours": []},
            ]
        }
    ],
}


class Server(http.server.ThreadingHTTPServer):
    """Answers as told and keeps what it was asked."""

    status, answer = 200, json.dumps(RESULT).encode()

    class RequestHandlerClass(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.path = self.path
            self.server.headers = dict(self.headers)
            self.server.body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(self.server.status)
            self.end_headers()
            self.wfile.write(self.server.answer)

        def log_message(self, *_):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.RequestHandlerClass)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def parts(self):
        """The form, as the standard library's reader of mail sees it: an independent parser."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        mail = email.message_from_bytes(head + self.body, policy=email.policy.HTTP)
        return {
            part.get_param("name", header="Content-Disposition"): part for part in mail.iter_parts()
        }


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def call(monkeypatch, body, **environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    function = runpy.run_path(str(FOLDER / "main.py"))
    log = []
    context = SimpleNamespace(
        user_data=SimpleNamespace(),
        logger=SimpleNamespace(info=log.append, error=log.append),
        Response=lambda **given: SimpleNamespace(**given),
    )
    function["init_context"](context)
    return function["handler"](context, SimpleNamespace(body=body)), log


def body(image=PNG):
    return {"image": base64.b64encode(image).decode()}


def test_polygons_of_a_photograph(server, monkeypatch):
    response, _ = call(
        monkeypatch,
        body(),
        GRATA_SERVER=server.url + "/",
        GRATA_MODEL="fundus_roi",
        GRATA_PARAMS='{"life_cycle": "off"}',
        GRATA_TOKEN="secret",
    )
    assert (response.status_code, response.content_type) == (200, "application/json")
    # Two points make no polygon, and CVAT would refuse all shapes of the frame.
    assert json.loads(response.body) == [
        {
            "confidence": "0.75",
            "label": "optic disc",
            "points": [1, 2, 3.5, 4, 5, 6],
            "type": "polygon",
        }
    ]
    assert server.path == "/infer/fundus_roi?output=json"
    assert server.headers["Authorization"] == "Bearer secret"
    parts = server.parts()
    assert json.loads(parts["params"].get_payload()) == {"life_cycle": "off"}
    assert parts["file"].get_filename() == "frame.png"
    assert parts["file"].get_payload(decode=True) == PNG


def test_defaults_and_a_body_that_nuclio_did_not_parse(server, monkeypatch):
    raw = json.dumps(body(b"\xff\xd8\xff\xe0 jpeg")).encode()
    response, _ = call(monkeypatch, raw, GRATA_SERVER=server.url)
    assert response.status_code == 200
    assert server.path == "/infer/fundus?output=json"
    assert server.parts()["file"].get_filename() == "frame.jpg"
    assert "Authorization" not in server.headers


def test_nothing_found(server, monkeypatch):
    server.answer = b'{"annotations": [{"annotations": []}], "confidence": null}'
    response, _ = call(monkeypatch, body(), GRATA_SERVER=server.url)
    assert (response.status_code, json.loads(response.body)) == (200, [])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b'{"detail": "Cannot read the photograph"}', "Cannot read the photograph"),
        (b"<h1>Forbidden</h1>", "<h1>Forbidden</h1>"),
        (b"[]", "[]"),
    ],
)
def test_what_the_server_refuses_is_passed_on(server, monkeypatch, answer, reason):
    server.status, server.answer = 422, answer
    response, log = call(monkeypatch, body(), GRATA_SERVER=server.url)
    assert response.status_code == 422
    assert json.loads(response.body) == {"detail": reason}
    assert log[-1] == f"422: {reason}"


def test_no_server_and_no_image(server, monkeypatch):
    server.answer = b"<html>"
    response, _ = call(monkeypatch, body(), GRATA_SERVER=server.url)
    assert response.status_code == 502
    response, _ = call(monkeypatch, body(), GRATA_SERVER="http://127.0.0.1:1")
    assert response.status_code == 502
    assert "http://127.0.0.1:1 gave no answer" in json.loads(response.body)["detail"]
    for wrong in ({}, {"image": "no base64!"}, b"no JSON", ["image"]):
        response, _ = call(monkeypatch, wrong, GRATA_SERVER=server.url)
        assert response.status_code == 400
        assert "base64 'image'" in json.loads(response.body)["detail"]


def test_labels_of_the_function_are_those_of_the_server():
    """CVAT drops shapes whose label the function does not declare."""
    text = (FOLDER / "function.yaml").read_text(encoding="utf-8")
    spec = json.loads(text[text.index("[") : text.index("]") + 1])
    assert {label["name"] for label in spec} == set(grata_monai.label.SEGMENTS)
    assert {label["type"] for label in spec} == {"polygon"}


def test_only_the_standard_library_is_needed():
    tree = ast.parse((FOLDER / "main.py").read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert imported - {"__future__"} <= sys.stdlib_module_names
