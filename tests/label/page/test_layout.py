# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Widths, light and dark, names for screen readers, and what is shipped."""

from __future__ import annotations

import pytest

from tests.label.fake_server import PAGE, POLICY
from tests.label.page.driving import one, open_study

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("width", [1400, 900, 420])
def test_no_width_scrolls_sideways(page, width):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False},
    )
    try:
        open_study(page, "eye9")
        wide = page.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width
        picture = one(page, "#picture").rect
        assert picture["x"] >= 0
        assert picture["x"] + picture["width"] <= width
        assert picture["width"] > 350
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_light_and_dark(page):
    def background(theme):
        feature = {"name": "prefers-color-scheme", "value": theme}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        color = one(page, "html").value_of_css_property("background-color")
        return sum(int(part) for part in color.split("(")[1].split(")")[0].split(",")[:3])

    try:
        assert background("light") > 600
        assert background("dark") < 150
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_everything_has_a_name(page):
    """Every control has a label, and every id that is referred to exists."""
    script = """
        const all = [...document.querySelectorAll("input, select, textarea, button, summary")];
        const name = (one) => one.labels?.length || one.ariaLabel || one.textContent.trim();
        const bare = all.filter((one) => !name(one));
        const refs = ["aria-labelledby", "aria-describedby", "for"].flatMap((name) =>
            [...document.querySelectorAll(`[${name}]`)].map((one) => one.getAttribute(name)));
        const lost = refs.filter((id) => !document.getElementById(id));
        return [bare.map((one) => one.outerHTML), lost];
    """
    assert page.execute_script(script) == [[], []]


def test_the_policy_is_strict_and_vendored_files_are_small():
    assert "unsafe" not in POLICY
    files = [path for path in PAGE.rglob("*") if path.is_file()]
    vendor = [path for path in files if "vendor" in path.parts]
    assert sum(path.stat().st_size for path in vendor) < 250_000
    for folder in {path.parent for path in vendor if path.parent.name != "vendor"}:
        assert any("MIT License" in path.read_text() for path in folder.glob("LICENSE*"))
    own = [path for path in files if path.suffix == ".js" and "vendor" not in path.parts]
    assert own
    for path in own:
        assert "innerHTML" not in path.read_text(), path.name
