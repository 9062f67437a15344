# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the annotation server's REST API, with painted photographs and drawn ellipses."""

from __future__ import annotations

import io
import json
import threading
import time
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image, ImageDraw

import grata_monai
from grata_monai.data import paint_photograph
from tests.label import fake_answers

PAGE = Path(grata_monai.__file__).parent / "label" / "page"
POLICY = "default-src 'self'; img-src 'self' blob: data:; style-src 'self'"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
TOKEN = "a-token"


class FakeServer(ThreadingHTTPServer):
    """Holds studies, what was asked, and what is to go wrong.

    Args:
        studies: Names with their image info, such as ``{"a": {"uncertainty": {"score": 0.5}}}``.
        size: Width and height of all photographs.
    """

    daemon_threads = True

    def __init__(self, studies, size=(640, 480)):
        super().__init__(("127.0.0.1", 0), Handler)
        self.studies = {
            name: {"image": {"ext": ".png", "info": info}, "labels": {}}
            for name, info in studies.items()
        }
        self.size = size
        self.painted = paint_photograph(
            "Synthetic_A", seed=4, height=size[1], width=size[0], disc_center=fake_answers.CENTER
        )[0]
        self.failures: dict[str, tuple[int, object]] = {}
        """The start of a path -> the status and JSON body to answer with."""
        self.slow: dict[str, float] = {}
        """The start of a path -> seconds to wait first."""
        self.needs_token = False
        self.requests: list[tuple[str, str, dict, dict]] = []
        """(method, path, query, fields) of all requests but those of the page's own files."""
        self.saved: dict[str, bytes] = {}
        self.training: dict | None = None
        self.current = "v0002"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/grata/"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()

    def asked(self, path):
        """Return the requests of a path, such as "infer/"."""
        return [request for request in self.requests if request[1].startswith(f"/{path}")]

    def label_file(self, name, kind):
        """Return the PNG of a label map: the bytes that must come back when it is accepted."""
        image = Image.new("L", self.size)
        draw = ImageDraw.Draw(image)
        for contour, value in zip(fake_answers.contours(self.size, kind), (1, 2), strict=True):
            draw.polygon([tuple(point) for point in contour], fill=value)
        text = io.BytesIO()
        image.save(text, "PNG")
        return text.getvalue() + f"{name} {kind}".encode()  # after its end: only to tell them apart


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Be quiet."""

    def do_GET(self):
        self.answer()

    do_POST = do_PUT = do_GET  # noqa: N815 - the names that http.server asks for

    def answer(self):
        address = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, query = unquote(address.path), _firsts(parse_qs(address.query))
        if self.command == "GET" and self.is_page(path):
            return None
        fields = self.fields(body)
        self.server.requests.append((self.command, path, query, fields))
        time.sleep(next((s for start, s in self.server.slow.items() if path.startswith(start)), 0))
        for start, (status, answer) in list(self.server.failures.items()):
            if path.startswith(start):
                return self.send_json(answer, status)
        is_free = path in {"/grata/auth", "/auth/token"}
        is_known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if self.server.needs_token and not (is_free or is_known):
            return self.send_json({"detail": "Could not validate credentials"}, 401)
        return self.route(path, query, fields)

    def is_page(self, path):
        """Send a file of the page, if that is what the path names."""
        name = path.removeprefix("/grata/") or "index.html"
        suffix = name[name.rfind(".") :]
        if not path.startswith("/grata/") or suffix not in TYPES:
            return False
        found = PAGE.joinpath(*name.split("/"))
        if not found.is_file():
            self.send(b"", "text/plain", 404)
        else:
            self.send(
                found.read_bytes(), TYPES[suffix], headers={"Content-Security-Policy": POLICY}
            )
        return True

    def fields(self, body):
        """Return what was sent: of a JSON body its keys, of a form its fields (files as bytes)."""
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("application/json"):
            return json.loads(body)
        if kind.startswith("application/x-www-form-urlencoded"):
            return _firsts(parse_qs(body.decode()))
        if not kind.startswith("multipart/"):
            return {}
        message = BytesParser(policy=HTTP).parsebytes(
            f"Content-Type: {kind}\r\n\r\n".encode() + body
        )
        fields = {}
        for part in message.iter_parts():
            name = part.get_param("name", header="content-disposition")
            payload = part.get_payload(decode=True)
            is_file = part.get_filename() is not None
            fields[name] = payload if is_file else payload.decode()
            if is_file:
                fields[f"{name}.filename"] = part.get_filename()
        return fields

    def route(self, path, query, fields):
        server, studies = self.server, self.server.studies
        if path == "/info/":
            return self.send_json(fake_answers.info())
        if path == "/datastore/":
            return self.send_json({"name": "fake", "objects": studies})
        if path == "/grata/preview":
            return self.send_preview(int(query["size"]))
        if path.startswith("/infer/"):
            return self.send_result(query["image"], json.loads(fields["params"]))
        if path == "/datastore/label":
            server.saved[query["image"]] = fields["label"]
            studies[query["image"]]["labels"]["final"] = {"ext": ".png", "info": {}}
            return self.send_json({"image": query["image"], "label": query["image"]})
        if path == "/grata/send-back":
            review = {"decision": "sent_back", "note": fields["note"], "user": None, "ts": 1}
            studies[query["image"]]["image"]["info"]["review"] = review
            studies[query["image"]]["labels"].pop("final", None)
            return self.send_json({})
        if path == "/activelearning/hardest_first":
            return self.send_json(self.hardest())
        return self.route_models(path, fields)

    def route_models(self, path, fields):
        server = self.server
        if path.startswith("/grata/versions"):
            if self.command == "POST":
                server.current = path.split("/")[3]
            return self.send_json(fake_answers.versions(server.current))
        if path.startswith("/train/"):
            if self.command == "POST":
                server.training = {"status": "RUNNING", "details": ["epoch 1"]}
            if server.training is None:
                return self.send_json({"detail": "No Train Tasks Found"}, 404)
            return self.send_json(server.training)
        if path == "/grata/auth":
            return self.send_json({"enabled": server.needs_token})
        if path == "/auth/token":
            if fields.get("password") != "right":
                return self.send_json({"detail": "wrong"}, 401)
            return self.send_json({"access_token": TOKEN, "token_type": "bearer"})
        return self.send_json({"detail": "Not Found"}, 404)

    def hardest(self):
        def score(item):
            return item[1]["image"]["info"].get("uncertainty", {}).get("score", -1)

        left = [item for item in self.server.studies.items() if "final" not in item[1]["labels"]]
        return {"id": max(left, key=score)[0]} if left else {}

    def send_preview(self, size):
        image = Image.fromarray(self.server.painted)
        image.thumbnail((size, size))
        text = io.BytesIO()
        image.save(text, "JPEG", quality=90)
        width, height = self.server.size
        headers = {"X-Native-Width": str(width), "X-Native-Height": str(height)}
        self.send(text.getvalue(), "image/jpeg", headers=headers)

    def send_result(self, name, params):
        """Answer as MONAI Label does: two parts, the first without a file name."""
        kind = "off" if params["life_cycle"] == "off" else "on"
        label = self.server.label_file(name, kind)
        said = json.dumps(
            fake_answers.result(self.server.size, params, self.server.current)
        ).encode()
        parts = (
            b'--edge\r\nContent-Disposition: form-data; name="params"\r\n'
            b"Content-Type: application/json\r\n\r\n" + said + b"\r\n"
            b'--edge\r\nContent-Disposition: form-data; name="image"; filename="tmp1.png"\r\n'
            b"Content-Type: image/png\r\n\r\n" + label + b"\r\n--edge--\r\n"
        )
        self.send(parts, "multipart/form-data; boundary=edge")

    def send_json(self, value, status=200):
        self.send(json.dumps(value).encode(), "application/json", status)

    def send(self, body, kind, status=200, headers=None):
        try:
            self.send_response(status)
            for name, value in {"Content-Type": kind, **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the page gave up waiting


def _firsts(query):
    return {key: values[0] for key, values in query.items()}
