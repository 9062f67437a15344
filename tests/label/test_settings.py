# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from grata_monai.label import LabelSettings


def test_written_settings_are_read_again(tmp_path):
    settings = LabelSettings(image_size=96, method="tent", beta=0.1, framing="regions")
    settings.write(tmp_path)
    assert LabelSettings.read(tmp_path) == settings


def test_a_folder_without_file_has_the_defaults(tmp_path):
    assert LabelSettings.read(tmp_path) == LabelSettings()


def test_conf_of_the_server_goes_first_and_is_text(tmp_path):
    LabelSettings(image_size=96).write(tmp_path)
    conf = {"image_size": "64", "method": "ptbn", "models": "MONAI Label's own"}
    assert LabelSettings.read(tmp_path, conf) == LabelSettings(image_size=64, method="ptbn")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no JSON file"),
        ("[1]", "one JSON object"),
        ('{"image_sise": 64}', "did you mean 'image_size'"),
        ('{"image_size": 65}', "multiple of 32"),
        ('{"method": "grato"}', "did you mean 'grata'"),
        ('{"max_sessions": 0}', "max_sessions"),
        ('{"beta": -1}', "beta"),
        ('{"method": "ptbn", "beta": 1}', "beta"),
        ('{"method": "detta"}', "detta"),
        ('{"method_options": {"mapping_": "linear"}}', "mapping_"),
        ('{"device": "gpu"}', "no device 'gpu'"),
        ('{"device": "cuda:99"}', "no device 'cuda:99'"),
        ('{"seed": "x"}', "seed"),
        ('{"precision": "bf61"}', "did you mean 'bf16'"),
        ('{"hosts": "localhost"}', "must be a list"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, content, message):
    path = tmp_path / "settings.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        LabelSettings.read(tmp_path)
    assert str(path) in str(caught.value)


def test_a_silent_request_gets_the_settings():
    request = LabelSettings(method="tent", beta=0.2, life_cycle="off").request({})
    assert (request.method, request.beta, request.life_cycle) == ("tent", 0.2, "off")
    assert request.extension == ".png"


def test_the_settings_beta_is_not_that_of_another_method():
    settings = LabelSettings(method="tent", beta=0.2, method_options={"betas": [0.9, 0.99]})
    request = settings.request({"method": "grata"})
    assert request.beta is None
    assert request.method_options == {}


def test_a_list_is_a_choice_that_was_not_made():
    given = {"method": ["ptbn", "tent"], "life_cycle": ["off", "online"], "beta": ""}
    request = LabelSettings().request(given)
    assert (request.method, request.life_cycle, request.beta) == ("ptbn", "off", None)


def test_numbers_may_be_text():
    request = LabelSettings().request({"beta": "0.5", "disc_center": ["3", 4]})
    assert (request.beta, request.disc_center) == (0.5, (3.0, 4.0))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"method": "magic"}, "'method' parameter of a request"),
        ({"life_cycle": "sometimes"}, "episodic, off, online"),
        ({"beta": "much"}, "'beta' parameter of a request must be a number"),
        ({"beta": float("nan")}, "'beta' parameter"),
        ({"disc_center": 5}, "must be \\[row, column\\]"),
        ({"disc_center": [1, 2, 3]}, "must be \\[row, column\\]"),
        ({"result_extension": ".exe"}, "result_extension"),
        ({"method_options": [["mapping"]]}, "must be an object"),
        ({"method_options": {"life_cycle": "never"}}, "no method option"),
        ({"method_options": {"views": 65}}, "up to 64"),
        ({"method": "detta"}, "'method' parameter"),
    ],
)
def test_a_wrong_request_is_refused(params, message):
    with pytest.raises(ValueError, match=message):
        LabelSettings().request(params)


def test_states_of_clients_users_methods_and_options_are_apart():
    base = {"client_id": "a", "method": "grata", "beta": 0.1}
    changes = [{}, {"client_id": "b"}, {"user": "u"}, {"method": "tent"}, {"beta": 0.2}]
    changes += [{"method_options": {"mapping": "linear"}}]
    keys = [LabelSettings().request({**base, **change}).key for change in changes]
    assert len(set(keys)) == len(keys)
    assert LabelSettings().request(dict(base)).key == keys[0]


def test_a_user_cannot_be_imitated_by_a_client_id():
    named = LabelSettings().request({"client_id": json.dumps(["u", "a"])})
    signed_in = LabelSettings().request({"user": "u", "client_id": "a"})
    assert named.client != signed_in.client
