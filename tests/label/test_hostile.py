# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What a hostile or clumsy client sends to the real server."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("monailabel", reason="needs the extra 'label': bash scripts/test_label.sh")

pytestmark = pytest.mark.label
ELSEWHERE = {"Origin": "http://elsewhere.example"}


@pytest.fixture(autouse=True)
def the_server_lives_on(live):
    yield
    status, content, _ = live.form(
        "POST", "/infer/fundus?image=eye%200&output=json", fields={"params": "{}"}
    )
    assert status == 200, content
    assert live.json("POST", "/activelearning/hardest_first", {})["id"]
    assert live.process.poll() is None


def detail(answer, status):
    assert answer[0] == status, answer
    return json.loads(answer[1])["detail"]


def test_archives_are_not_unpacked(live):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("../../main.py")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"evil"))
    before = (live.root / "app" / "main.py").read_bytes()
    files = {"files": ("x.tar", buffer.getvalue())}
    for path in ("/session/?uncompress=true", "/session/"):
        assert detail(live.form("PUT", path, files=files), 422)
    assert (live.root / "app" / "main.py").read_bytes() == before


def test_names_of_sessions_cannot_be_guessed(live, photographs):
    image = (photographs / "eye 0.png").read_bytes()
    names = set()
    for _ in range(2):
        _, content, _ = live.form("PUT", "/session/", files={"files": ("../x.png", image)})
        names.add(json.loads(content)["session_id"])
    one, other = (np.array(list(name)) for name in names)
    assert (one != other).sum() > 20  # nothing of time or machine in common


@pytest.mark.parametrize("path", ["/reload", "/proxy/dicom/x", "/ohif/x", "/ohif/%2e%2e"])
def test_what_nobody_needs_is_not_there(live, path):
    for method in ("GET", "POST"):
        assert live.request(method, path)[0] == 404


@pytest.mark.parametrize(
    "info",
    [
        '{"strategy": "x"}',
        '{"review": "x"}',
        '{"uncertainty": 5}',
        '{"x": NaN}',
        '{"x": "\\ud800"}',
        '{"disc_center": [9999, 1]}',
        '{"disc_center": "x"}',
        '"x"',
        "[1]",
        "[" * 5000,
    ],
    ids=lambda info: info[:20],
)
def test_facts_that_would_harm_others_are_refused(live, info):
    answer = live.form("PUT", "/datastore/image/info?image=eye%200", fields={"info": info})
    assert answer[0] in {400, 422}, answer
    assert json.loads(answer[1])["detail"]


def test_a_center_given_for_good_is_used(live):
    fields = {"info": json.dumps({"disc_center": [70, 90]})}
    assert live.form("PUT", "/datastore/image/info?image=eye%201", fields=fields)[0] == 200
    _, content, _ = live.form(
        "POST", "/infer/fundus?image=eye%201&output=json", fields={"params": "{}"}
    )
    assert json.loads(content)["disc_center"] == [70, 90]


def test_pages_from_elsewhere_change_nothing(live):
    changes = [
        ("POST", "/grata/send-back?image=eye%200"),
        ("POST", "/grata/versions/v0001/current"),
        ("POST", "/train/fundus"),
        ("POST", "/scoring/uncertainty"),
        ("PUT", "/datastore/label?image=eye%200"),
        ("DELETE", "/datastore/image?id=eye%200"),
    ]
    for method, path in changes:
        answer = live.request(method, path, b"", {**ELSEWHERE, "Content-Type": "text/plain"})
        assert "elsewhere.example" in detail(answer, 403)
    own = {"Origin": live.url}
    assert live.request("POST", "/grata/versions/v0001/current", b"", own)[0] == 200


def test_foreign_names_for_this_machine_are_refused(live):
    assert live.request("GET", "/info/", headers={"Host": "evil.example"})[0] == 400


def test_label_maps_that_inflate_are_refused(live):
    header = (
        b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 200 160 1\nencoding: gzip\n"
        b"space: left-posterior-superior\n\n"
    )
    bomb = header + gzip.compress(bytes(2**30), compresslevel=1)
    before = live.resident_megabytes()
    answer = live.form(
        "PUT", "/datastore/label?image=eye%200", files={"label": ("bomb.nrrd", bomb)}
    )
    assert "more than" in detail(answer, 422)
    assert live.resident_megabytes() - before < 500


def test_huge_photographs_are_refused(live):
    buffer = io.BytesIO()
    Image.new("L", (9000, 9000)).save(buffer, "PNG")
    files = {"file": ("huge.png", buffer.getvalue())}
    assert "million" in detail(live.form("POST", "/infer/fundus", files=files), 422)
    assert "million" in detail(live.form("PUT", "/datastore/image", files=files), 422)


def test_costly_options_are_refused(live):
    for options in ({"views": 10**9}, {"levels": list(range(1000))}):
        fields = {"params": json.dumps({"method": "cotta", "method_options": options})}
        answer = live.form("POST", "/infer/fundus?image=eye%200", fields=fields)
        assert "64" in detail(answer, 422)


@pytest.mark.parametrize("params", [{"max_epochs": "x"}, {"max_epochs": None}, {"publish": "x"}])
def test_a_training_with_wrong_options_does_not_start(live, params):
    answer = live.request(
        "POST", "/train/fundus", json.dumps(params).encode(), {"Content-Type": "application/json"}
    )
    assert detail(answer, 422)
    assert live.request("GET", "/train/")[0] == 404  # no task


def test_one_damaged_old_version_harms_nobody(live, weights):
    from grata_monai.label import app_versions

    versions = app_versions(live.root / "app")
    versions.add(weights, kind="imported")
    (versions.folder / "versions" / "v0001" / "version.json").write_text("{")
    assert [one["name"] for one in live.json("GET", "/grata/versions")["versions"]] == ["v0002"]
    assert live.json("GET", "/info/")["models"]["fundus"]["version"] == "v0002"


def test_messages_do_not_tell_where_files_are(live):
    (live.root / "studies" / "broken.png").write_bytes(b"broken")
    for path in ("/grata/versions/v9999/current", f"/infer/fundus?image={quote('nobody')}"):
        _, content, _ = live.form("POST", path, fields={"params": "{}"})
        assert str(live.root) not in content.decode()
    files = {"file": ("x.png", b"broken")}
    _, content, _ = live.form("POST", "/infer/fundus", files=files)
    assert str(live.root) not in content.decode()


def test_nothing_is_left_of_downloads_and_refusals(live, tmp_path):
    for _ in range(2):
        assert detail(live.request("GET", "/datastore/dataset"), 404)
    fields = {"params": json.dumps({"save_label": True, "label_tag": "../x"})}
    assert detail(live.form("POST", "/infer/fundus?image=eye%200", fields=fields), 400)
    answer = live.form("POST", "/infer/fundus?image=eye%200&output=dicom_seg", fields={"a": "b"})
    assert detail(answer, 400)
    assert [one.name for one in (live.root / "app" / "uploads").iterdir() if one.is_file()] == []
