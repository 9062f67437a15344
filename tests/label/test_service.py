# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from grata_monai.bundle import run_workflow
from grata_monai.label import LabelSettings, SegmentationService, app_versions, init_app
from grata_monai.label import service as service_module
from grata_monai.label.results import result_params
from grata_monai.localization import locate_disc
from tests.label.conftest import HEIGHT, ROI, SIZE, WIDTH


def ask(service, path, *, whole=True, **params):
    return service.segment(path, service.settings.request(params), whole=whole)[0]


def state_of(service):
    _, segmenter = service._current()
    return {name: value.clone() for name, value in segmenter.network.state_dict().items()}


@pytest.mark.parametrize(
    ("life_cycle", "of_bundle"), [("episodic", "per_image"), ("online", "never"), ("off", None)]
)
def test_masks_are_those_of_the_bundle(
    service, paths, photographs, weights, tmp_path, life_cycle, of_bundle
):
    """The same images in the same order through the bundle's inference config."""
    run_workflow(
        "inference",
        dataset_dir=photographs,
        weights=weights,
        output_dir=tmp_path,
        image_size=SIZE,
        device="cpu",
        method="grata" if of_bundle else "source",
        beta=0.5 if of_bundle else None,
        life_cycle=of_bundle,
    )
    for path in paths:
        found = ask(service, path, whole=False, life_cycle=life_cycle, client_id="me")
        expected = np.asarray(Image.open(tmp_path / "predictions" / f"{path.stem}_seg.png"))
        np.testing.assert_array_equal(found.labels, expected)
        assert found.labels.any()


def test_adaptation_changes_masks_and_online_goes_on(service, paths):
    off = ask(service, paths[1], life_cycle="off")
    episodic = ask(service, paths[1])
    ask(service, paths[0], life_cycle="online", client_id="me")
    online = ask(service, paths[1], life_cycle="online", client_id="me")
    assert (off.labels != episodic.labels).any()
    assert (online.labels != episodic.labels).any()
    assert (episodic.images_seen, online.images_seen) == (1, 2)
    assert -1 <= episodic.trace["cosine"] <= 1


def test_the_network_is_given_back_after_every_request(service, paths):
    before = state_of(service)
    for life_cycle in ("episodic", "online", "off"):
        ask(service, paths[0], life_cycle=life_cycle, client_id="me")
    after = state_of(service)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not service._current()[1].network.training


def test_clients_that_take_turns_get_what_each_alone_would(app, paths):
    def alone(client, order):
        service = SegmentationService(app)
        params = {"life_cycle": "online", "client_id": client}
        return [ask(service, paths[index], **params) for index in order]

    orders = {"anna": [0, 1, 2], "bert": [2, 0, 1]}
    expected = {client: alone(client, order) for client, order in orders.items()}
    shared = SegmentationService(app)
    found = {client: [] for client in orders}
    for turn in range(3):
        for client, order in orders.items():
            params = {"life_cycle": "online", "client_id": client}
            found[client].append(ask(shared, paths[order[turn]], **params))
            ask(shared, paths[turn])  # an episodic stranger between them
    for client in orders:
        for one, other in zip(found[client], expected[client], strict=True):
            np.testing.assert_array_equal(one.labels, other.labels)
            assert one.trace == other.trace


def test_clients_in_threads_get_what_each_alone_would(app, paths):
    service = SegmentationService(app)

    def run(client):
        params = {"life_cycle": "online", "client_id": client}
        return [ask(service, path, **params).trace for path in paths]

    with ThreadPoolExecutor(4) as pool:
        traces = list(pool.map(run, "abcd"))
    assert traces == [run("alone")] * 4


def test_a_state_that_expired_starts_at_the_source(app, paths):
    clock = type("Clock", (), {"now": 0.0, "__call__": lambda self: self.now})()
    service = SegmentationService(app)
    service.states.clock = clock
    params = {"life_cycle": "online", "client_id": "me"}
    first = ask(service, paths[0], **params)
    assert ask(service, paths[0], **params).trace != first.trace
    clock.now = 60 * service.settings.session_minutes + 1
    again = ask(service, paths[0], **params)
    assert again.trace == first.trace
    assert again.images_seen == 1


def test_online_needs_to_know_whose_state(service, paths):
    with pytest.raises(ValueError, match="send a 'client_id'"):
        ask(service, paths[0], life_cycle="online")


def test_the_disc_is_found_and_the_mask_lies_in_its_region(service, paths, photograph):
    found = ask(service, paths[0])
    expected = locate_disc(photograph)
    assert found.location.center == expected.center
    assert (found.window.height, found.window.width) == (ROI, ROI)
    outside = found.labels.copy()
    top, left = found.window.top, found.window.left
    outside[max(top, 0) : top + ROI, max(left, 0) : left + ROI] = 0
    assert found.labels.shape == (HEIGHT, WIDTH)
    assert not outside.any()


def test_a_file_is_searched_once(service, paths, monkeypatch):
    calls = []

    def count(photograph):
        calls.append(photograph.shape)
        return locate_disc(photograph)

    monkeypatch.setattr(service_module, "locate_disc", count)
    for _ in range(2):
        ask(service, paths[0])
    assert len(calls) == 1
    ask(service, paths[1])
    assert len(calls) == 2


def test_a_given_center_is_taken(service, paths):
    found = ask(service, paths[0], disc_center=[80, 100])
    assert found.location.method == "given"
    assert (found.window.top, found.window.left) == (80 - ROI // 2, 100 - ROI // 2)
    with pytest.raises(ValueError, match="outside the photograph of 160 rows and 200 columns"):
        ask(service, paths[0], disc_center=[100, 200])


def test_the_network_locates_if_wanted(app, paths):
    service = SegmentationService(app, LabelSettings(image_size=SIZE, roi_size=ROI, device="cpu"))
    assert ask(service, paths[0], life_cycle="off").location.method in {"network", "classical"}


@pytest.mark.parametrize("content", [b"", b"no image", "truncated"])
def test_a_broken_image_is_named_and_harms_nobody(service, paths, tmp_path, content):
    params = {"life_cycle": "online", "client_id": "me"}
    reference = ask(service, paths[0], life_cycle="online", client_id="other").trace
    broken = tmp_path / "broken.png"
    broken.write_bytes(paths[0].read_bytes()[:900] if content == "truncated" else content)
    with pytest.raises(ValueError, match=r"broken\.png"):
        ask(service, broken, **params)
    assert ask(service, paths[0], **params).trace == reference


def test_a_constant_image_has_a_result_that_says_so(service, tmp_path):
    path = tmp_path / "flat.png"
    Image.new("RGB", (WIDTH, HEIGHT), (90, 60, 30)).save(path)
    found = ask(service, path)
    assert found.location.confidence < 0.5
    assert found.location.note
    assert found.labels.shape == (HEIGHT, WIDTH)


def test_another_version_is_served_from_the_next_request_on(tmp_path, weights, settings, paths):
    app = tmp_path / "app"
    init_app(app, weights, settings)
    service = SegmentationService(app)
    params = {"life_cycle": "online", "client_id": "me"}
    first = ask(service, paths[0], **params)
    changed = torch.load(weights, weights_only=True)
    name = [name for name in changed if name.endswith("bias")][-1]
    changed[name] = changed[name] + 3
    torch.save(changed, tmp_path / "changed.pt")
    versions = app_versions(app)
    versions.add(tmp_path / "changed.pt", kind="imported")
    request = service.settings.request(params)
    second, version = service.segment(paths[0], request, whole=True)
    assert version.name == "v0002"
    assert second.images_seen == 1  # the adapted state of v0001 was not taken along
    assert (second.labels != first.labels).any()
    versions.make_current("v0001")
    assert ask(service, paths[0]).trace == ask(SegmentationService(app), paths[0]).trace


def test_results_are_json_whatever_happened(service, paths):
    request = service.settings.request({"life_cycle": "off"})
    found, version = service.segment(paths[0], request, whole=True)
    object.__setattr__(found, "trace", {"cosine": math.nan, "loss": 1.5})
    params = json.loads(json.dumps(result_params(found, version, request), allow_nan=False))
    assert params["cosine"] is None
    assert params["adaptation"] == {"cosine": None, "loss": 1.5}
    assert params["method"] == "source"
    assert params["size"] == [HEIGHT, WIDTH]
    assert params["model_version"] == "v0001"
    assert [one["label"] for one in params["annotations"][0]["annotations"]] == [
        "optic disc",
        "optic cup",
    ]


def test_ratio_and_confidence_by_hand(service, paths):
    found = ask(service, paths[0], life_cycle="episodic")
    rows = [np.flatnonzero((found.labels >= level).any(axis=1)) for level in (1, 2)]
    extents = [one[-1] - one[0] + 1 for one in rows]
    assert found.vcdr == pytest.approx(extents[1] / extents[0])
    assert found.confidence == min(found.confidences.values())
    assert 0 <= found.confidence <= 1


def test_reduced_precision_gives_nearly_the_same(app, service, paths):
    overrides = {"precision": "bf16"}
    reduced = SegmentationService(app, LabelSettings.read(app, overrides))
    exact, near = (ask(one, paths[0], life_cycle="off") for one in (service, reduced))
    assert exact.confidences != near.confidences
    assert exact.confidences == pytest.approx(near.confidences, abs=0.02)
    assert (exact.labels != near.labels).mean() < 0.01


def test_a_client_can_start_again(service, paths):
    params = {"life_cycle": "online", "client_id": "me"}
    first = ask(service, paths[0], **params)
    ask(service, paths[1], **params)
    again = ask(service, paths[0], **params, restart=True)
    assert again.trace == first.trace
    assert again.images_seen == 1


def test_a_photograph_with_a_fault_teaches_an_online_state_nothing(service, paths, tmp_path):
    blank = tmp_path / "blank.png"
    Image.new("RGB", (WIDTH, HEIGHT), (9, 9, 9)).save(blank)
    request = service.settings.request({"life_cycle": "online", "client_id": "me"})
    ask(service, paths[0], life_cycle="online", client_id="me")
    found, version = service.segment(blank, request, whole=False)
    assert found.trace["updated"] == 0.0
    assert found.images_seen == 1
    assert "one value only" in result_params(found, version, request)["note"]
    with_it = ask(service, paths[1], life_cycle="online", client_id="me")
    for path in paths[:2]:
        without_it = ask(service, path, life_cycle="online", client_id="you")
    assert with_it.trace == without_it.trace
    np.testing.assert_array_equal(with_it.labels, without_it.labels)


def test_without_the_guard_it_is_learned_from(app, tmp_path):
    blank = tmp_path / "blank.png"
    Image.new("RGB", (WIDTH, HEIGHT), (9, 9, 9)).save(blank)
    unguarded = SegmentationService(app, LabelSettings.read(app, {"guard": "false"}))
    found = ask(unguarded, blank, whole=False)
    assert (found.trace["updated"], found.event) == (1.0, "")


def test_a_state_that_collapses_goes_back_to_the_source(service, paths):
    params = {"life_cycle": "online", "client_id": "me", "beta": 1e30}
    found = ask(service, paths[0], **params)
    assert found.event.startswith("back to the source")
    source = ask(service, paths[0], method="ptbn")  # with the statistics that GraTa uses
    np.testing.assert_array_equal(found.labels, source.labels)


def test_without_the_guard_a_state_that_is_not_finite_is_forgotten(app, paths):
    service = SegmentationService(app, LabelSettings.read(app, {"guard": False}))
    params = {"life_cycle": "online", "client_id": "me", "beta": 1e30}
    for _ in range(3):
        found = ask(service, paths[0], **params)
        if found.trace["updated"] == 0.0:
            break
    assert found.trace["updated"] == 0.0
    assert ask(service, paths[0], **params).images_seen == 1


def test_refused_requests_take_no_place(app, paths):
    service = SegmentationService(app)
    service.states.limit = 1
    params = {"life_cycle": "online", "client_id": "me"}
    ask(service, paths[0], **params)
    with pytest.raises(ValueError, match="outside"):
        ask(service, paths[0], life_cycle="online", client_id="you", disc_center=[9999, 0])
    assert ask(service, paths[0], **params).images_seen == 2


def test_an_error_in_the_middle_leaves_the_network_as_it_was(service, paths, monkeypatch):
    before = state_of(service)

    def fail(*_):
        raise ZeroDivisionError("in the middle")

    monkeypatch.setattr("grata_monai.adapters.grata.cosine_similarity", fail)
    with pytest.raises(ZeroDivisionError):
        ask(service, paths[0], life_cycle="online", client_id="me")
    monkeypatch.undo()
    after = state_of(service)
    assert all(torch.equal(before[name], after[name]) for name in before)
    fresh = SegmentationService(service.versions.folder.parent)
    assert ask(service, paths[0]).trace == ask(fresh, paths[0]).trace


def test_photographs_no_camera_made_are_refused(service, tmp_path):
    Image.new("1", (8000, 8000)).save(tmp_path / "huge.png")
    with pytest.raises(ValueError, match=r"huge\.png has 8000 x 8000 pixels"):
        ask(service, tmp_path / "huge.png")
