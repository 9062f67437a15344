# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A browser, a server with four studies, and the page."""

from __future__ import annotations

import json
import shutil
from urllib.parse import urlsplit

import pytest

from tests.label.fake_server import FakeServer
from tests.label.page.driving import EVIL, text, wait

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,900",
)
STUDIES = {
    "eye10": {"uncertainty": {"score": 0.2}},
    "eye9": {"uncertainty": {"score": 0.7, "entropy": 0.4, "disagreement": 0.2}},
    "a.b": {"review": {"decision": "sent_back", "note": "blurred"}},
    EVIL: {"uncertainty": {"error": "<b>cannot be read</b>"}},
}


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A headless Chromium that records its console and its requests."""
    webdriver = pytest.importorskip("selenium.webdriver")
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no Chromium with chromedriver here (Debian: chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    browser = webdriver.Chrome(options=options, service=service)
    yield browser
    browser.quit()


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
