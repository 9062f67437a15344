# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The real MONAI Label server with the real client, from end to end."""

from __future__ import annotations

import io
import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("monailabel", reason="needs the extra 'label': bash scripts/test_label.sh")

from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException

from grata_monai.label import SegmentationService
from grata_monai.label.label_files import LABEL_EXTENSIONS, read_label_file, write_label_file
from tests.imaging.test_dicom import write_dicom
from tests.label.conftest import HEIGHT, WIDTH
from tests.label.live_server import serving

pytestmark = pytest.mark.label
TRAVERSALS = ["../secret", "/etc/passwd", "..", "a/../../secret", "..\\secret", "%2e%2e%2fsecret"]


@pytest.fixture
def client(live, tmp_path):
    """The client has its own temporary folder, as on a machine of its own."""
    (tmp_path / "client").mkdir()
    return MONAILabelClient(live.url, tmpdir=str(tmp_path / "client"), client_id="tester")


def labels_of(client, image="", params=None, *, model="fundus", file=None):
    path, answer = client.infer(model, image, params or {}, file=file)
    return read_label_file(path), answer


def eventually(is_true, seconds=10):
    deadline = time.monotonic() + seconds
    while not is_true() and time.monotonic() < deadline:
        time.sleep(0.1)
    return is_true()


def refused(live, expected, method, path, **form):
    status, content, _ = live.form(method, path, **form) if form else live.request(method, path)
    assert status in expected, (status, content[:300])
    if status != 404 or content != b"Not Found":
        assert json.loads(content)["detail"]
    return content.decode(errors="replace")


def test_info_names_everything(client):
    info = client.info()
    assert info["name"] == "grata_monai"
    assert list(info["models"]) == ["fundus", "fundus_roi"]
    config = info["models"]["fundus"]["config"]
    assert config["method"][0] == "grata"
    assert config["life_cycle"] == ["episodic", "online", "off"]
    assert {"grata", "ptbn", "source", "statistics_choice"} <= set(config["method"])
    assert info["models"]["fundus"]["labels"] == {"optic disc": 1, "optic cup": 2}
    assert set(info["trainers"]) == {"fundus", "fundus_roi"}
    assert set(info["strategies"]) == {"hardest_first", "random"}
    assert set(info["scoring"]) == {"uncertainty"}
    assert info["datastore"]["total"] == 3


@pytest.mark.parametrize("strategy", ["hardest_first", "random"])
def test_next_sample_is_a_study(live, client, strategy):
    sample = client.next_sample(strategy, {})
    assert sample["id"] in {"eye 0", "eye 1", "eye 2"}
    assert sample["path"].startswith(str(live.root / "studies"))


@pytest.mark.parametrize("model", ["fundus", "fundus_roi"])
def test_a_study_is_segmented_as_without_a_server(client, app, paths, model):
    service = SegmentationService(app)
    for path in paths:
        request = service.settings.request({})
        expected, _ = service.segment(path, request, whole=model == "fundus")
        found, answer = labels_of(client, path.stem, model=model)
        np.testing.assert_array_equal(found, expected.labels)
        assert answer["vcdr"] == pytest.approx(expected.vcdr)
        assert answer["cosine"] == pytest.approx(expected.trace["cosine"])
        assert 0 < answer["learning_rate"] <= 0.5
        assert 0 <= answer["confidence"] <= 1
        assert answer["label_names"] == {"optic disc": 1, "optic cup": 2}


@pytest.mark.parametrize("extension", LABEL_EXTENSIONS)
def test_every_output_format_holds_the_same(client, extension, tmp_path):
    expected, _ = labels_of(client, "eye 0")
    path, _ = client.infer("fundus", "eye 0", {"result_extension": extension})
    assert path.endswith(extension)
    np.testing.assert_array_equal(read_label_file(path), expected)
    assert expected.any()


@pytest.mark.parametrize(
    "suffix", [".png", ".PNG", ".tif", ".TIFF", ".bmp", ".dcm", ".jpg", ".JPEG"]
)
def test_uploads_of_every_format(client, photographs, tmp_path, suffix):
    expected, _ = labels_of(client, "eye 0")
    image = Image.open(photographs / "eye 0.png").convert("RGB")
    path = tmp_path / f"upload{suffix}"
    if suffix == ".dcm":
        write_dicom(path, np.asarray(image))
    else:
        image.save(path)
    found, answer = labels_of(client, file=str(path))
    assert found.shape == (HEIGHT, WIDTH)
    assert answer["size"] == [HEIGHT, WIDTH]
    if suffix.lower() in {".png", ".tif", ".tiff", ".bmp", ".dcm"}:  # lossless
        np.testing.assert_array_equal(found, expected)


def test_options_of_a_request(client):
    off, answer = labels_of(client, "eye 1", {"life_cycle": "off"})
    assert (answer["method"], answer["cosine"]) == ("source", None)
    ptbn, answer = labels_of(client, "eye 1", {"method": "ptbn"})
    assert answer["method"] == "ptbn"
    grata, answer = labels_of(client, "eye 1", {"method": "grata", "beta": 0.0})
    np.testing.assert_array_equal(grata, ptbn)  # no step: the statistics alone
    strong, answer = labels_of(client, "eye 1", {"beta": 2.0})
    assert answer["beta"] == 2.0
    assert (strong != grata).any()
    assert (off != ptbn).any()


def test_polygons_for_cvat(client, live):
    status, content, _ = live.form(
        "POST", "/infer/fundus?image=eye%200&output=json", fields={"params": "{}"}
    )
    assert status == 200
    polygons = json.loads(content)["annotations"][0]["annotations"]
    labels, _ = labels_of(client, "eye 0")
    assert [one["label"] for one in polygons] == ["optic disc", "optic cup"]
    columns, rows = np.array(polygons[0]["contours"][0]).T
    found_rows, found_columns = np.nonzero(labels)
    assert abs(rows.min() - found_rows.min()) <= 2
    assert abs(columns.max() - found_columns.max()) <= 2


def test_two_clients_in_threads_get_what_each_alone_would(live, app, paths, tmp_path):
    orders = {"anna": [0, 1, 2, 0], "bert": [2, 0, 1, 1], "chris": [1, 1, 0, 2]}

    def alone(name):
        service = SegmentationService(app)
        request = service.settings.request({"client_id": name, "life_cycle": "online"})
        return [service.segment(paths[index], request, whole=True)[0] for index in orders[name]]

    gate = threading.Barrier(len(orders))

    def together(name):
        folder = tmp_path / name
        folder.mkdir()
        client = MONAILabelClient(live.url, tmpdir=str(folder), client_id=f"thread {name}")
        gate.wait()
        return [
            labels_of(client, paths[index].stem, {"life_cycle": "online"}) for index in orders[name]
        ]

    with ThreadPoolExecutor(len(orders)) as pool:
        found = dict(zip(orders, pool.map(together, orders), strict=True))
    for name in orders:
        for turn, (expected, (labels, answer)) in enumerate(
            zip(alone(name), found[name], strict=True), start=1
        ):
            np.testing.assert_array_equal(labels, expected.labels)
            assert answer["cosine"] == pytest.approx(expected.trace["cosine"], abs=1e-12)
            assert answer["images_seen"] == turn


def test_the_server_answers_others_while_it_segments(live, paths):
    done = threading.Event()

    def segment():
        for _ in range(3):
            live.form("POST", "/infer/fundus?image=eye%200", fields={"params": "{}"})
        done.set()

    thread = threading.Thread(target=segment)
    thread.start()
    answered = 0
    while not done.is_set():
        assert live.request("GET", "/grata/auth")[0] == 200
        answered += not done.is_set()
    thread.join()
    assert answered > 3


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"method": "magic"}, 422),
        ({"life_cycle": "sometimes"}, 422),
        ({"beta": "much"}, 422),
        ({"method": "ptbn", "beta": 1.0}, 422),
        ({"result_extension": ".exe"}, 422),
        ({"disc_center": [9999, 0]}, 422),
        ({"life_cycle": "online", "client_id": None}, 422),
        ([1, 2], 400),
    ],
)
def test_wrong_options_are_4xx(live, params, status):
    fields = {"params": json.dumps(params)}
    refused(live, {status}, "POST", "/infer/fundus?image=eye%200", fields=fields)


def test_parameters_that_are_no_json(live):
    content = refused(
        live, {400}, "POST", "/infer/fundus?image=eye%200", fields={"params": "{broken"}
    )
    assert "no JSON" in content


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.png", b""),
        ("text.jpg", b"this is no photograph"),
        ("no_extension", b"neither is this"),
        ("fake.dcm", b"\0" * 128 + b"DICM" + b"junk"),
        ("bomb.png", None),
        ("truncated.png", None),
        ("page.html", b"<script>alert(1)</script>"),
    ],
)
def test_broken_uploads_are_4xx_and_the_server_lives_on(live, client, photographs, name, content):
    if name == "truncated.png":
        content = (photographs / "eye 0.png").read_bytes()[:2000]
    if name == "bomb.png":
        buffer = io.BytesIO()
        Image.new("1", (30000, 30000)).save(buffer, "PNG")
        content = buffer.getvalue()
    detail = refused(
        live,
        {422},
        "POST",
        "/infer/fundus",
        fields={"params": "{}"},
        files={"file": (name, content)},
    )
    assert "Traceback" not in detail
    assert labels_of(client, "eye 0")[0].any()


@pytest.mark.parametrize("name", TRAVERSALS)
def test_no_path_outside_the_studies_is_read(live, name):
    quoted = name if name.startswith("%") else __import__("urllib.parse").parse.quote(name, safe="")
    for path in (
        f"/datastore/image?image={quoted}",
        f"/datastore/image/info?image={quoted}",
        f"/datastore/label?label={quoted}&tag=final",
        f"/datastore/label?label=eye%200&tag={quoted}",
        f"/grata/preview?image={quoted}",
    ):
        refused(live, {400, 404}, "GET", path)
    refused(live, {400, 404}, "GET", f"/session/{quoted}")
    for path in (f"/infer/fundus?image={quoted}", f"/infer/fundus?session_id={quoted}"):
        refused(live, {400, 404}, "POST", path, fields={"params": "{}"})
    refused(live, {400, 404, 405}, "POST", f"/infer/wsi/fundus?image={quoted}", fields={"a": "b"})


def test_parameters_cannot_name_another_image(live, client):
    expected = labels_of(client, "eye 1", {"life_cycle": "off"})[0]
    secret = str(live.root / "secret.png")
    for override in ({"image": secret}, {"image": "eye 0"}, {"session": {"image": secret}}):
        found, _ = labels_of(client, "eye 1", {"life_cycle": "off", **override})
        np.testing.assert_array_equal(found, expected)


def test_no_path_outside_the_studies_is_written(live, photographs):
    image = (photographs / "eye 0.png").read_bytes()
    before = sorted(path.name for path in live.root.iterdir())
    for name in ("..%2F..%2Fevil", "..%2Fevil", "%2Ftmp%2Fevil"):
        files = {"file": ("x.png", image)}
        refused(live, {400}, "PUT", f"/datastore/image?image={name}", files=files)
        refused(live, {400}, "PUT", f"/datastore/?image={name}", files=files)
        labels = {"label": ("x.png", image)}
        refused(live, {400}, "PUT", f"/datastore/label?image=eye%200&tag={name}", files=labels)
    assert sorted(path.name for path in live.root.iterdir()) == before
    weights = {"file": ("model.pt", b"evil")}
    refused(live, {405}, "PUT", "/model/fundus", files=weights)
    refused(live, {405}, "DELETE", "/model/fundus")


def test_large_uploads_are_413(tmp_path_factory, live):
    large = b"\0" * (65 * 2**20)
    files = {"file": ("large.png", large)}
    content = refused(live, {413}, "POST", "/infer/fundus", files=files)
    assert "64 MB" in content


def test_large_uploads_that_do_not_say_so_are_413(live):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
    boundary = "x"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    ).encode()

    def chunks():
        yield head
        for _ in range(70):
            yield b"\0" * 2**20

    try:
        connection.request(
            "POST",
            "/infer/fundus",
            body=chunks(),
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
            encode_chunked=True,
        )
        status = connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        status = 413  # hung up while we were still sending
    assert status == 413
    assert live.request("GET", "/grata/auth")[0] == 200  # and not because it died


def test_images_are_added_once_and_only_if_they_are_some(live, client, photographs, tmp_path):
    path = tmp_path / "added.tif"
    shutil.copy(photographs / "eye 2.tif", path)
    assert client.upload_image(str(path), image_id="added")["image"] == "added"
    assert labels_of(client, "added")[0].shape == (HEIGHT, WIDTH)
    with pytest.raises(MONAILabelClientException) as caught:
        client.upload_image(str(path), image_id="added")
    assert "already" in caught.value.msg
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(MONAILabelClientException) as caught:
        client.upload_image(str(tmp_path / "broken.png"), image_id="broken")
    assert "422" in caught.value.msg
    live.request("DELETE", "/datastore/image?id=added")


def test_sessions_hold_an_upload(client, photographs):
    session = client.create_session(str(photographs / "eye 0.png"))["session_id"]
    path, _ = client.infer("fundus", "", {}, session_id=session)
    np.testing.assert_array_equal(read_label_file(path), labels_of(client, "eye 0")[0])
    client.remove_session(session)
    with pytest.raises(MONAILabelClientException):
        client.infer("fundus", "", {}, session_id=session)


def test_preview_shows_every_format_to_a_browser(live):
    for study in ("eye%200", "eye%201", "eye%202"):
        status, content, headers = live.request("GET", f"/grata/preview?image={study}&size=100")
        assert status == 200
        assert headers["content-type"] == "image/jpeg"
        assert (headers["x-native-width"], headers["x-native-height"]) == (str(WIDTH), str(HEIGHT))
        assert max(Image.open(io.BytesIO(content)).size) == 100


def test_the_page_is_served_with_its_policy(live):
    status, content, headers = live.request("GET", "/grata/")
    assert status == 200
    assert b"<html" in content
    assert live.request("GET", "/grata")[1] == content  # led there
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assert headers["x-content-type-options"] == "nosniff"


def test_pages_from_elsewhere_cannot_call_it(live):
    headers = {"Origin": "http://elsewhere.example"}
    for path in ("/info/", "/grata/versions"):
        status, _, answered = live.request("GET", path, headers=headers)
        assert status == 200
        assert "access-control-allow-origin" not in {name.lower() for name in answered}


def test_memory_after_fifty_requests(live):
    def ask(index):
        fields = {"params": json.dumps({"life_cycle": "online", "client_id": f"c{index % 3}"})}
        status, _, _ = live.form("POST", f"/infer/fundus?image=eye%20{index % 3}", fields=fields)
        assert status == 200

    for index in range(20):
        ask(index)
    before = live.resident_megabytes()
    for index in range(50):
        ask(index)
    assert live.resident_megabytes() - before < 60
    uploads = live.root / "app" / "uploads"
    assert eventually(lambda: not list(uploads.iterdir()))  # removed after the answer was sent


@pytest.fixture(scope="module")
def story(tmp_path_factory, weights, settings, photographs):
    with serving(
        tmp_path_factory, weights, settings, photographs, options=["--no-scoring"]
    ) as live:
        (live.root / "client").mkdir()
        live.client = MONAILabelClient(live.url, tmpdir=str(live.root / "client"))
        yield live


class TestAnnotation:
    """Save, score, train, serve the new weights, roll back: one story, in order."""

    def test_broken_studies_do_not_stop_scoring(self, story):
        (story.root / "studies" / "broken.png").write_bytes(b"no image")

        def studies():
            return story.json("GET", "/datastore/?output=all")["objects"]

        assert eventually(lambda: "broken" in studies())  # the folder is watched
        task = story.json("POST", "/scoring/uncertainty", {})
        assert story.wait_for("/scoring/", task=task["id"])["status"] == "DONE"
        assert eventually(lambda: studies()["eye 2"]["image"]["info"].get("uncertainty"))
        objects = studies()
        facts = {name: one["image"]["info"].get("uncertainty") for name, one in objects.items()}
        assert "cannot" in facts["broken"]["error"].lower()
        scores = {name: one["score"] for name, one in facts.items() if name != "broken"}
        assert len(scores) == 3
        assert max(scores.values()) > min(scores.values())
        story.hardest = max(scores, key=scores.get)
        assert story.client.next_sample("hardest_first", {})["id"] == story.hardest

    def test_batch_inference_goes_on_past_a_broken_study(self, story):
        task = story.json("POST", "/batch/infer/fundus?images=unlabeled")
        assert story.wait_for("/batch/infer", task=task["id"])["status"] == "DONE"
        time.sleep(1)  # the server reads what the other process wrote
        objects = story.json("GET", "/datastore/?output=all")["objects"]
        assert [name for name, one in objects.items() if "original" in one["labels"]] == [
            name for name in objects if name != "broken"
        ]

    def test_label_maps_are_checked_and_saved(self, story, tmp_path):
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        distance = np.hypot(rows - 80, columns - 100)
        labels = (distance < 40).astype(np.uint8) + (distance < 20).astype(np.uint8)
        formats = dict(
            zip(("eye 0", "eye 1", "eye 2"), (".png", ".seg.nrrd", ".nii.gz"), strict=True)
        )
        for name, extension in formats.items():
            path = tmp_path / f"drawn{extension}"
            write_label_file(labels, path)
            story.client.save_label(name, str(path))
            saved = story.client.download_label(name, "final")
            np.testing.assert_array_equal(read_label_file(saved), labels)
        write_label_file(labels[:-1], tmp_path / "small.png")
        (tmp_path / "junk.png").write_bytes(b"junk")
        for wrong in ("small.png", "junk.png"):
            with pytest.raises(MONAILabelClientException) as caught:
                story.client.save_label("eye 0", str(tmp_path / wrong))
            assert "Status: 422" in caught.value.msg
        with pytest.raises(MONAILabelClientException) as caught:
            story.client.save_label("nobody", str(tmp_path / "drawn.png"))
        assert "Status: 404" in caught.value.msg
        assert story.client.info()["datastore"]["completed"] == 3

    def test_training_in_the_background_makes_the_next_version(self, story):
        story.before, _ = labels_of(story.client, "eye 0", {"life_cycle": "off"})
        task = story.client.train_start(
            "fundus", {"max_epochs": 2, "learning_rate": 0.01, "publish": "always"}
        )
        status = story.wait_for("/train/", task=task["id"])
        assert status["status"] == "DONE", status
        listed = story.json("GET", "/grata/versions")
        assert listed["current"] == "v0002"
        newest = listed["versions"][-1]
        assert (newest["parent"], newest["kind"]) == ("v0001", "fine_tuned")
        assert newest["images"] + newest["validation_images"] == 3
        story.after, answer = labels_of(story.client, "eye 0", {"life_cycle": "off"})
        assert answer["model_version"] == "v0002"
        assert (story.after != story.before).any()

    def test_rolling_back_serves_the_old_weights(self, story):
        assert story.json("POST", "/grata/versions/v0001/current")["current"] == "v0001"
        labels, answer = labels_of(story.client, "eye 0", {"life_cycle": "off"})
        assert answer["model_version"] == "v0001"
        np.testing.assert_array_equal(labels, story.before)
        refused(story, {422}, "POST", "/grata/versions/v0009/current")
        story.json("POST", "/grata/versions/v0002/current")
        np.testing.assert_array_equal(
            labels_of(story.client, "eye 0", {"life_cycle": "off"})[0], story.after
        )

    def test_sent_back_studies_come_first_and_keep_their_label_map(self, story):
        status, _, _ = story.form(
            "POST", "/grata/send-back?image=eye%201", fields={"note": "rim too wide"}
        )
        assert status == 200
        study = story.json("GET", "/datastore/?output=all")["objects"]["eye 1"]
        assert study["image"]["info"]["review"]["note"] == "rim too wide"
        assert set(study["labels"]) == {"original", "sent_back"}
        assert story.client.next_sample("hardest_first", {})["id"] == "eye 1"
        story.form("POST", "/grata/send-back?image=eye%202", fields={"client_id": "reviewer"})
        reviewer = MONAILabelClient(story.url, client_id="reviewer")
        assert reviewer.next_sample("hardest_first", {})["id"] not in {"eye 1", "eye 2"}
        refused(story, {404}, "POST", "/grata/send-back?image=nobody", fields={"note": ""})

    def test_saving_takes_the_mark_away(self, story, tmp_path):
        labels, _ = labels_of(story.client, "eye 1")
        write_label_file(labels, tmp_path / "again.png")
        story.client.save_label("eye 1", str(tmp_path / "again.png"))
        study = story.json("GET", "/datastore/?output=all")["objects"]["eye 1"]
        assert "review" not in study["image"]["info"]
        assert "final" in study["labels"]

    def test_training_without_label_maps_says_so(self, tmp_path_factory, story):
        for name in ("eye 0", "eye 1", "eye 2"):
            quoted = name.replace(" ", "%20")
            story.form("POST", f"/grata/send-back?image={quoted}", fields={"note": ""})
        task = story.client.train_start("fundus", {})
        status = story.wait_for("/train/", task=task["id"])
        assert status["status"] == "ERROR"
        assert "422" in " ".join(status["details"])
