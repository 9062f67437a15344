# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
BROWSER_FLAGS = (
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


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real fundus data for measuring; most machines do not have it."""
    folder = Path(os.environ.get("GRATA_REAL_DATA", REPOSITORY.parent / "shared" / "real"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no real fundus data at {folder} (set GRATA_REAL_DATA)")
    return folder


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
    for flag in (*BROWSER_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    browser = webdriver.Chrome(options=options, service=service)
    yield browser
    browser.quit()
