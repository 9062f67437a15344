# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The foot of the page: roll back to a version, train."""

from __future__ import annotations

import pytest

from tests.label.page.driving import every, numbers, one, open_study, text, wait

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_roll_back_to_a_version(page, server):
    assert text(page, "#current-version") == "v0002"
    current, old = every(page, "#version-table tbody tr")
    assert current.get_attribute("aria-current") == "true"
    assert "fine-tuned from v0001 24 81.2 % → 85.3 %" in current.text
    assert "imported" in old.text
    assert "Trained on REFUGE" in old.text
    open_study(page, "eye9")
    one(page, "#version-table button").click()
    wait(lambda: text(page, "#current-version") == "v0001")
    assert server.asked("grata/versions/v0001/current")[0][0] == "POST"
    assert "The model is now v0001" in text(page, "#status")
    one(page, "#segment").click()
    wait(lambda: numbers(page, "model_version") == ["v0001", "v0001"])


def test_training_is_started_and_watched(page, server):
    wait(lambda: text(page, "#train-status") == "No training yet.")
    assert one(page, "#epochs").get_attribute("value") == "7"  # the server's
    page.execute_script("arguments[0].scrollIntoView()", one(page, "#train"))
    one(page, "#train").click()
    wait(lambda: text(page, "#train-status") == "Training …")
    assert not one(page, "#train").is_enabled()
    assert [one for one in server.asked("train/fundus") if one[3] == {"max_epochs": 7}]
    server.training = {"status": "DONE", "details": ["epoch 1", "<b>done</b>"]}
    server.current = "v0001"
    wait(lambda: text(page, "#train-status") == "The last training is done.")
    wait(lambda: text(page, "#current-version") == "v0001")
    one(page, "#train-log summary").click()
    assert text(page, "#train-log pre") == "epoch 1\n<b>done</b>"
