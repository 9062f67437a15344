# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""One study: what is asked for, what is shown, what is saved."""

from __future__ import annotations

import json

import pytest

from tests.label.page.driving import choose, numbers, one, open_study, rows, text, texts, wait

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_study_is_segmented_both_ways(page, server):
    open_study(page, "eye9")
    asked = server.asked("infer/fundus")
    params = [json.loads(fields["params"]) for _, _, _, fields in asked]
    assert [query for _, _, query, _ in asked] == [{"image": "eye9"}] * 2
    assert [one["life_cycle"] for one in params] == ["off", "episodic"]
    assert {one["method"] for one in params} == {"grata"}
    assert {one["beta"] for one in params} == {None}
    assert {one["result_extension"] for one in params} == {".png"}
    assert len({one["client_id"] for one in params}) == 1
    assert len(params[0]["client_id"]) == 32
    assert numbers(page, "vcdr") == ["0.390", "0.584"]  # 0.030 and 0.045 of 0.07 x 1.1
    assert numbers(page, "cosine") == ["–", "0.432"]
    assert numbers(page, "learning_rate") == ["–", "3.2e-5"]
    assert numbers(page, "method") == ["source", "grata"]
    assert numbers(page, "life_cycle") == ["off", "episodic"]
    assert numbers(page, "model_version") == ["v0002", "v0002"]
    assert "Uncertainty 0.70 (entropy 0.40, disagreement 0.20)" in text(page, "#study-score")


@pytest.mark.parametrize(
    ("button", "kind", "accepted"),
    [("#accept", "on", "adapted"), ("#accept-source", "off", "source")],
)
def test_accept_saves_the_label_map_byte_for_byte(page, server, button, kind, accepted):
    open_study(page, "a.b")
    one(page, button).click()
    wait(lambda: text(page, "#study-state") == "accepted")
    assert server.saved == {"a.b": server.label_file("a.b", kind)}
    ((method, path, query, fields),) = server.asked("datastore/label")
    assert (method, path, query) == ("PUT", "/datastore/label", {"image": "a.b", "tag": "final"})
    assert fields["label.filename"] == "label.png"
    params = json.loads(fields["params"])
    assert params["accepted"] == accepted
    assert params["model_version"] == "v0002"
    assert "annotations" not in params
    assert texts(page, "#list .badge")[1] == "accepted"


def test_send_back_with_a_note(page, server):
    open_study(page, "eye10")
    one(page, "#note").send_keys("the cup <i>is</i> wrong")
    one(page, "#send-back").click()
    wait(lambda: text(page, "#study-state") == "sent back")
    ((_, _, query, fields),) = server.asked("grata/send-back")
    assert query == {"image": "eye10"}
    assert fields["note"] == "the cup <i>is</i> wrong"
    assert fields["client_id"]  # so that this reviewer is not given it again at once
    assert "Sent back: “the cup <i>is</i> wrong”" in text(page, "#study-score")
    assert one(page, "#note").get_attribute("value") == ""


def test_a_note_outlives_another_study_and_a_reload(page):
    open_study(page, "eye9")
    one(page, "#note").send_keys("look again")
    open_study(page, "eye10")
    assert one(page, "#note").get_attribute("value") == ""
    page.refresh()
    wait(lambda: rows(page))
    open_study(page, "eye9")
    assert one(page, "#note").get_attribute("value") == "look again"


def test_settings_are_sent_and_kept(page, server):
    choose(page, "#method", "tent")
    choose(page, "#life-cycle", "online")
    choose(page, "#model", "fundus_roi")
    one(page, "#beta").send_keys("0.005")
    open_study(page, "eye9")
    _, path, _, fields = server.asked("infer/")[-1]
    params = json.loads(fields["params"])
    assert path == "/infer/fundus_roi"
    assert params["method"] == "tent"
    assert params["life_cycle"] == "online"
    assert params["beta"] == 0.005
    assert numbers(page, "method") == ["source", "tent"]
    client = params["client_id"]
    page.refresh()
    wait(lambda: text(page, "#status") == "Segmented and adapted.")  # the study of before
    assert text(page, "#study-title") == "eye9"
    params = json.loads(server.asked("infer/")[-1][3]["params"])
    assert (params["method"], params["beta"], params["client_id"]) == ("tent", 0.005, client)


def test_segment_again_asks_only_for_what_changed(page, server):
    open_study(page, "eye9")
    before = len(server.asked("infer/"))
    choose(page, "#method", "ptbn")
    one(page, "#segment").click()
    wait(lambda: numbers(page, "method") == ["source", "ptbn"])
    assert len(server.asked("infer/")) == before + 1  # without adaptation it is what it was
    open_study(page, "eye10")
    count = len(server.asked("infer/"))
    open_study(page, "eye9", "The result from before.")
    assert numbers(page, "method") == ["source", "ptbn"]
    assert len(server.asked("infer/")) == count


def test_without_adaptation_one_request_is_enough(page, server):
    choose(page, "#life-cycle", "off")
    assert not one(page, "#method").is_enabled()
    open_study(page, "eye9", "Segmented without adaptation.")
    assert len(server.asked("infer/")) == 1
    assert numbers(page, "vcdr") == ["0.390", "0.390"]
    assert text(page, "#right-side") == "Not adapted ▸"
