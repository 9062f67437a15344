# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Sign-in as MONAI Label supports it: tokens of an OpenID Connect realm, roles in them."""

from __future__ import annotations

import base64
import json
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

pytest.importorskip("monailabel", reason="needs the extra 'label': bash scripts/test_label.sh")

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException

from grata_monai.label import init_app
from grata_monai.label.label_files import read_label_file
from tests.label.live_server import LiveServer

pytestmark = pytest.mark.label
ROLES = {"ada": ["admin", "annotator", "user"], "ann": ["annotator", "user"], "uwe": ["user"]}
USER, ANNOTATOR, ADMIN = {"uwe"}, {"ann", "ada"}, {"ada"}


class Realm(ThreadingHTTPServer):
    """A sign-in service: every password is right, every user has fixed roles."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/realm"

    def token(self, user, *, key=None, seconds=300):
        roles = [f"monailabel-{role}" for role in ROLES[user]]
        claims = {"preferred_username": user, "realm_access": {"roles": roles}}
        claims |= {"exp": time.time() + seconds, "aud": "account"}
        return jwt.encode(claims, key or self.key, algorithm="RS256")


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        public = self.server.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        answers = {
            "/realm": {"public_key": base64.b64encode(public).decode()},
            "/realm/.well-known/openid-configuration": {
                "token_endpoint": f"{self.server.url}/token"
            },
        }
        self.answer(answers[self.path])

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        user = parse_qs(body)["username"][0]
        self.answer({"access_token": self.server.token(user), "token_type": "bearer"})

    def answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def realm():
    with Realm() as realm:
        threading.Thread(target=realm.serve_forever, daemon=True).start()
        yield realm
        realm.shutdown()


@pytest.fixture(scope="module")
def live(tmp_path_factory, realm, weights, settings, photographs):
    root = tmp_path_factory.mktemp("auth")
    init_app(root / "app", weights, settings)
    shutil.copytree(photographs, root / "studies")
    environment = {"MONAI_LABEL_AUTH_ENABLE": "true", "MONAI_LABEL_AUTH_REALM_URI": realm.url}
    with LiveServer(
        root / "app",
        root / "studies",
        root / "log",
        environment=environment,
        options=["--no-scoring"],
    ) as live:
        yield live


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_everything_but_the_page_needs_a_token(live):
    assert live.json("GET", "/grata/auth") == {"enabled": True}
    assert live.request("GET", "/grata/")[0] == 200
    for path in ("/info/", "/datastore/", "/grata/versions", "/grata/preview?image=eye%200"):
        assert live.request("GET", path)[0] == 401
    assert live.form("POST", "/infer/fundus?image=eye%200", fields={"params": "{}"})[0] == 401
    assert live.form("POST", "/grata/send-back?image=eye%200", fields={"note": ""})[0] == 401


def test_the_client_signs_in_and_segments(live, tmp_path):
    client = MONAILabelClient(live.url, tmpdir=str(tmp_path), client_id="me")
    assert client.auth_enabled()
    with pytest.raises(MONAILabelClientException):
        client.info()
    client.update_auth(client.auth_token("uwe", "any"))
    assert client.auth_valid_token()
    assert client.info()["name"] == "grata_monai"
    path, _ = client.infer("fundus", "eye 0", {"life_cycle": "online"})
    assert read_label_file(path).any()


@pytest.mark.parametrize("seconds", [-1, 300])
def test_expired_and_foreign_tokens_are_refused(live, realm, seconds):
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key = None if seconds < 0 else stranger
    status, content, _ = live.request(
        "GET", "/info/", headers=bearer(realm.token("ada", key=key, seconds=seconds))
    )
    assert status == 401
    assert "Sign in again" in json.loads(content)["detail"]


def test_tokens_need_an_end_and_a_user(live, realm):
    roles = {"realm_access": {"roles": ["monailabel-user"]}}
    for claims in ({"preferred_username": "ada"}, {"exp": time.time() + 60}):
        token = jwt.encode({**roles, **claims}, realm.key, algorithm="RS256")
        assert live.request("GET", "/info/", headers=bearer(token))[0] == 401


def test_reloading_is_not_there(live):
    assert live.request("POST", "/reload")[0] == 404


def test_unsigned_tokens_are_refused(live):
    claims = {"preferred_username": "ada", "realm_access": {"roles": ["monailabel-admin"]}}
    token = jwt.encode(claims, None, algorithm="none")
    assert live.request("GET", "/info/", headers=bearer(token))[0] == 401


@pytest.mark.parametrize("user", sorted(ROLES))
def test_roles_decide_who_may_what(live, realm, user):
    headers = bearer(realm.token(user))
    assert live.request("GET", "/grata/versions", headers=headers)[0] == 200
    status, _, _ = live.form(
        "POST", "/grata/send-back?image=eye%200", fields={"note": ""}, headers=headers
    )
    assert (status == 200) == (user in ANNOTATOR)
    assert status in {200, 403}
    save = {"params": json.dumps({"save_label": True, "label_tag": "final"})}
    status, _, _ = live.form("POST", "/infer/fundus?image=eye%202", fields=save, headers=headers)
    assert (status == 200) == (user in ANNOTATOR)
    assert status in {200, 403}
    status, _, _ = live.request("POST", "/grata/versions/v0001/current", headers=headers)
    assert (status == 200) == (user in ADMIN)
    assert status in {200, 403}


def test_adapted_states_belong_to_the_user(live, realm):
    def ask(user):
        fields = {
            "params": json.dumps({"life_cycle": "online", "client_id": "shared", "user": "x"})
        }
        status, content, _ = live.form(
            "POST",
            "/infer/fundus?image=eye%201&output=json",
            fields=fields,
            headers=bearer(realm.token(user)),
        )
        assert status == 200
        return json.loads(content)["images_seen"]

    assert [ask("ann"), ask("ann"), ask("uwe")] == [1, 2, 1]
