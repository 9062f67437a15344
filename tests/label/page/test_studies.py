# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The list of studies: states, scores, order, filter, keys, the next hardest."""

from __future__ import annotations

import pytest

from tests.label.page.driving import (
    EVIL,
    choose,
    every,
    names,
    one,
    open_study,
    press,
    text,
    texts,
    wait,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_list_says_state_and_score(page):
    assert names(page) == [EVIL, "a.b", "eye9", "eye10"]
    shown = [row.split("\n")[1:] for row in texts(page, "#list [role=option]")]
    assert shown == [["not scored", "new"], ["sent back"], ["0.70", "new"], ["0.20", "new"]]
    assert text(page, "#count") == "4"


def test_hardest_first_and_filters(page):
    from selenium.webdriver.common.keys import Keys

    one(page, "#hardest").click()
    assert names(page)[:2] == ["eye9", "eye10"]
    one(page, "#filter").send_keys("EYE")
    assert names(page) == ["eye9", "eye10"]
    assert text(page, "#count") == "2 of 4"
    one(page, "#filter").send_keys(Keys.BACKSPACE * 3)
    choose(page, "#state", "sent back")
    assert names(page) == ["a.b"]
    one(page, "#filter").send_keys("no such study")
    assert text(page, "#list") == "No study fits the filter."


def test_arrow_keys_and_enter(page, server):
    from selenium.webdriver.common.keys import Keys

    page.execute_script("document.getElementById('list').focus()")
    press(page, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP)
    active = one(page, "#list").get_attribute("aria-activedescendant")
    assert one(page, f"#{active} .name").text == "eye9"
    assert server.asked("infer/") == []  # moving asks for nothing yet
    press(page, Keys.ENTER)
    wait(lambda: text(page, "#status") == "Segmented and adapted.")
    assert text(page, "#study-title") == "eye9"
    assert one(page, f"#{active}").get_attribute("aria-selected") == "true"


def test_next_hardest(page, server):
    for expected in ("eye9", "eye10"):
        one(page, "#next").click()
        wait(lambda name=expected: text(page, "#study-title") == name)
        wait(lambda: text(page, "#status") == "Segmented and adapted.")
        one(page, "#accept").click()
        wait(lambda: text(page, "#study-state") == "accepted")
    assert server.asked("activelearning/")[0][3].keys() == {"client_id"}
    for entry in server.studies.values():
        entry["labels"]["final"] = {"ext": ".png", "info": {}}
    one(page, "#next").click()
    wait(lambda: text(page, "#status") == "No study is left: all have been accepted.")


def test_an_evil_name_does_no_harm(page, server):
    from selenium.common.exceptions import NoAlertPresentException
    from selenium.webdriver.common.alert import Alert

    open_study(page, EVIL)
    assert text(page, "#study-title") == EVIL
    assert "<b>cannot be read</b>" in text(page, "#study-score")
    assert every(page, "img") == []
    one(page, "#accept").click()
    wait(lambda: text(page, "#study-state") == "accepted")
    assert server.saved == {EVIL: server.label_file(EVIL, "on")}
    with pytest.raises(NoAlertPresentException):
        _ = Alert(page).text
