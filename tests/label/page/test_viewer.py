# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The photograph: contours in its own pixels, zoom, slider."""

from __future__ import annotations

import numpy as np
import pytest

from tests.label.fake_answers import CENTER, CUP, DISC, REGION
from tests.label.page.driving import boxes, one, open_study, press, wait

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def expected_boxes(server, kind):
    width, height = server.size
    x, y = CENTER[1] * width, CENTER[0] * height
    radii = [(DISC * width, 1.1 * DISC * width), (CUP[kind] * width, CUP[kind] * width)]
    return [[x - a, y - b, x + a, y + b] for a, b in radii]


def test_contours_lie_on_the_photograph(page, server):
    open_study(page, "eye9")
    for side, kind in (("source", "off"), ("adapted", "on")):
        np.testing.assert_allclose(boxes(page, side), expected_boxes(server, kind), atol=0.1)
        image = one(page, f"#{side}-side image")
        size = [float(image.get_attribute(name)) for name in ("x", "y", "width", "height")]
        assert size == [0, 0, *server.size]
    colors = [
        one(page, f"#source-side path.{kind}").value_of_css_property("stroke")
        for kind in ("disc", "cup")
    ]
    assert colors == ["rgb(0, 230, 140)", "rgb(60, 150, 255)"]
    one(page, "#contours").click()
    assert not one(page, "#source-side path.disc").is_displayed()


def test_zoom_to_the_disc_and_out(page, server):
    open_study(page, "eye9")
    width, height = server.size
    side = int(REGION * width)
    region = [int(CENTER[1] * width - side / 2), int(CENTER[0] * height - side / 2), side, side]

    def views():
        script = "return document.getElementById(arguments[0]).getAttribute('viewBox')"
        return {page.execute_script(script, f"{s}-side") for s in ("source", "adapted")}

    assert views() == {" ".join(map(str, region))}
    one(page, "#zoom-whole").click()
    assert views() == {f"0 0 {width} {height}"}
    assert one(page, "#zoom-whole").get_attribute("aria-pressed") == "true"
    open_study(page, "eye10")  # the choice stays
    assert views() == {f"0 0 {width} {height}"}
    one(page, "#zoom-disc").click()
    assert views() == {" ".join(map(str, region))}


def test_the_slider_moves_by_mouse_and_keys(page):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    open_study(page, "eye9")
    slider = one(page, "#slider")

    def seen():
        """Return the share of the width that shows the side without adaptation."""
        script = """
            const first = arguments[0].shadowRoot.getElementById("firstImageContainer");
            return 100 - parseFloat(getComputedStyle(first).clipPath.split(" ")[1]);
        """
        return page.execute_script(script, slider)

    assert seen() == 50
    quarter = slider.size["width"] / 4
    ActionChains(page).move_to_element(slider).click_and_hold().move_by_offset(
        -round(quarter), 0
    ).release().perform()
    wait(lambda: abs(seen() - 25) < 0.5)
    assert abs(float(slider.get_attribute("aria-valuenow")) - 25) <= 1
    press(page, Keys.HOME)
    wait(lambda: seen() == 0)
    press(page, Keys.ARROW_RIGHT)
    wait(lambda: seen() == 2)
    assert slider.get_attribute("aria-valuetext") == "2 % without adaptation, 98 % adapted"
    press(page, Keys.END)
    wait(lambda: seen() == 100)


def test_a_large_photograph_gets_sharp_when_it_is_zoomed(page, server):
    server.painted = server.painted.repeat(3, axis=0).repeat(3, axis=1)
    server.size = server.painted.shape[1], server.painted.shape[0]
    open_study(page, "eye9")
    script = """
        const [side, done] = arguments;
        const copy = new Image();
        copy.onload = () => done(copy.naturalWidth);
        copy.onerror = () => done(0);  // replaced in this very moment
        copy.src = document.querySelector(`#${side}-side image`).getAttribute("href");
    """
    for side in ("source", "adapted"):
        wait(lambda side=side: page.execute_async_script(script, side) == 1920)
    sizes = [query["size"] for _, _, query, _ in server.asked("grata/preview")]
    assert sizes == ["1600", "1920"]
    np.testing.assert_allclose(boxes(page, "adapted"), expected_boxes(server, "on"), atol=0.1)
