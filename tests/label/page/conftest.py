# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A server with four studies, and the page in a browser."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from tests.label.fake_server import FakeServer
from tests.label.page.driving import EVIL, text, wait

STUDIES = {
    "eye10": {"uncertainty": {"score": 0.2}},
    "eye9": {"uncertainty": {"score": 0.7, "entropy": 0.4, "disagreement": 0.2}},
    "a.b": {"review": {"decision": "sent_back", "note": "blurred"}},
    EVIL: {"uncertainty": {"error": "<b>cannot be read</b>"}},
}


@pytest.fixture
def server():
    # JSON there and back: each test has studies of its own.
    with FakeServer(json.loads(json.dumps(STUDIES))) as one:
        yield one


@pytest.fixture
def blank(chromium, server):
    """The browser with an empty memory; afterwards no script may have failed or called away."""
    chromium.get(server.url + "page.css")
    chromium.execute_script("sessionStorage.clear()")
    chromium.get_log("browser")
    chromium.get_log("performance")
    yield chromium
    # A refused request is logged by the browser itself; the page has to deal with it.
    log = [entry for entry in chromium.get_log("browser") if entry["source"] != "network"]
    assert log == []
    assert {urlsplit(url).netloc for url in requested(chromium)} == {urlsplit(server.url).netloc}


@pytest.fixture
def page(blank, server):
    """The page, loaded."""
    blank.get(server.url)
    wait(lambda: text(blank, "#train-status"))  # the last that it asks for
    return blank


def requested(browser):
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            if not url.startswith(("data:", "blob:", "chrome")):
                yield url
