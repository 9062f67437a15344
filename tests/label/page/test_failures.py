# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Waiting, refusals, a server that is down, and signing in."""

from __future__ import annotations

import pytest

from tests.label.page.driving import numbers, one, open_study, rows, text, wait

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_it_says_that_it_is_busy(page, server):
    server.slow["/infer/"] = 0.7
    rows(page)[2].click()
    wait(lambda: text(page, "#status").startswith("Segmenting without adaptation"))
    assert one(page, "#picture").get_attribute("aria-busy") == "true"
    assert not one(page, "#accept").is_enabled()
    wait(lambda: text(page, "#status").startswith("Adapting by grata"))
    assert one(page, "#accept-source").is_enabled()  # it is there already
    assert not one(page, "#accept").is_enabled()
    wait(lambda: text(page, "#status") == "Segmented and adapted.")
    assert one(page, "#picture").get_attribute("aria-busy") == "false"


def test_another_study_ends_the_wait_for_the_first(page, server):
    server.slow["/infer/"] = 1.0
    rows(page)[2].click()
    wait(lambda: server.asked("infer/"))
    server.slow.clear()
    open_study(page, "eye10")
    assert text(page, "#study-title") == "eye10"
    assert not one(page, "#alert").is_displayed()
    page.execute_async_script("setTimeout(arguments[0], 1200)")  # the first would have come by now
    assert [query["image"] for _, _, query, _ in server.asked("infer/")].count("eye9") == 1
    one(page, "#accept").click()
    wait(lambda: server.saved)
    assert server.saved == {"eye10": server.label_file("eye10", "on")}


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (400, {"detail": "The beta must be positive."}, "The beta must be positive."),
        (422, {"detail": [{"loc": ["body", "params"], "msg": "missing"}]}, "body.params: missing"),
        (413, "no object", "The server refused this (HTTP 413)."),
        (500, {"detail": "no memory"}, "failed to do this (HTTP 500). It says: no memory"),
        (503, "no object", "The server failed to do this (HTTP 503)."),
    ],
)
def test_errors_are_said_and_can_be_tried_again(page, server, status, answer, said):
    server.failures["/infer/"] = (status, answer)
    rows(page)[2].click()
    wait(lambda: one(page, "#alert").is_displayed())
    assert said in text(page, "#alert-text")
    assert one(page, "#picture").get_attribute("aria-busy") == "false"
    server.failures.clear()
    one(page, "#retry").click()
    wait(lambda: text(page, "#status") == "Segmented and adapted.")
    assert not one(page, "#alert").is_displayed()


def test_nothing_is_lost_while_the_server_is_down(page, server):
    open_study(page, "eye9")
    one(page, "#note").send_keys("look again")
    page.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    try:
        one(page, "#send-back").click()
        wait(lambda: "cannot be reached" in text(page, "#alert-text"))
        one(page, "#accept").click()
        wait(lambda: one(page, "#alert").is_displayed())
    finally:
        page.execute_cdp_cmd("Network.emulateNetworkConditions", {**offline, "offline": False})
    assert one(page, "#note").get_attribute("value") == "look again"
    assert numbers(page, "vcdr") == ["0.390", "0.584"]
    assert server.saved == {}
    one(page, "#retry").click()
    wait(lambda: text(page, "#study-state") == "accepted")
    assert server.saved == {"eye9": server.label_file("eye9", "on")}


def sign_in(page, password):
    wait(lambda: one(page, "#login").is_displayed())
    one(page, "#username").clear()
    one(page, "#username").send_keys("ann")
    one(page, "#password").clear()
    one(page, "#password").send_keys(password, "\n")


def test_sign_in(blank, server):
    server.needs_token = True
    blank.get(server.url)
    sign_in(blank, "wrong")
    wait(lambda: text(blank, "#login-error") == "Name or password is wrong.")
    sign_in(blank, "right")
    wait(lambda: rows(blank))
    assert not one(blank, "#login").is_displayed()
    assert server.asked("auth/token")[-1][3] == {
        "username": "ann",
        "password": "right",
        "grant_type": "password",
    }
    open_study(blank, "eye9")  # the photograph, too, is asked for with the token
    assert one(blank, "#source-side image").get_attribute("href").startswith("blob:")
    blank.refresh()
    wait(lambda: text(blank, "#status") == "Segmented and adapted.")  # no second sign-in
    one(blank, "#sign-out").click()
    wait(lambda: one(blank, "#login").is_displayed())


def test_a_token_that_ran_out_asks_once_and_goes_on(page, server):
    open_study(page, "eye9")
    server.needs_token = True
    one(page, "#accept").click()
    sign_in(page, "right")
    wait(lambda: text(page, "#study-state") == "accepted")
    assert server.saved == {"eye9": server.label_file("eye9", "on")}
    assert not one(page, "#alert").is_displayed()
