# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser: sorting, filters, the image browser, and not one request."""

from __future__ import annotations

import json

import pytest

from grata_monai.report import write_report
from tests.report.synthetic_run import write_run

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def report(finished_report):
    return finished_report.page


@pytest.fixture
def page(chromium, report):
    """The page, freshly loaded; afterwards nothing may have gone wrong or out."""
    chromium.get_log("browser")
    chromium.get_log("performance")
    chromium.get(report.as_uri())
    yield chromium
    assert [entry for entry in chromium.get_log("browser") if entry["level"] != "INFO"] == []
    assert list(outside_requests(chromium)) == []


def outside_requests(browser):
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            if not url.startswith(("data:", "file:", "chrome")):  # its own start page
                yield url


def every(page, selector):
    return page.find_elements("css selector", selector)


def one(page, selector):
    return page.find_element("css selector", selector)


def column(page, table, index):
    """Return the visible fields of a column of a table."""
    script = """
        const rows = [...document.getElementById(arguments[0]).tBodies[0].rows];
        return rows.filter((row) => row.getClientRects().length)
                   .map((row) => row.cells[arguments[1]].textContent);
    """
    return page.execute_script(script, table, index)


def choose(page, selector, text):
    from selenium.webdriver.support.ui import Select

    Select(one(page, selector)).select_by_visible_text(text)


def press(page, key):
    from selenium.webdriver import ActionChains

    ActionChains(page).send_keys(key).perform()


def changes(page):
    """Return the changes that the thumbnails show, in their order."""
    texts = [element.text for element in every(page, ".thumb .change")]
    return [float(text.replace("−", "-").replace("±", "")) for text in texts]


def test_sorting_a_table_up_and_down(page):
    button = every(page, "#table-overview_grata th button")[1]
    before = [float(text.split()[0]) for text in column(page, "table-overview_grata", 1)]
    button.click()
    after = [float(text.split()[0]) for text in column(page, "table-overview_grata", 1)]
    assert after == sorted(before, reverse=True)
    head = one(page, "#table-overview_grata th[aria-sort]")
    assert head.get_attribute("aria-sort") == "descending"
    button.click()
    after = [float(text.split()[0]) for text in column(page, "table-overview_grata", 1)]
    assert after == sorted(before)
    every(page, "#table-overview_grata th button")[0].click()
    assert column(page, "table-overview_grata", 0) == ["GraTa", "No Adapt", "PTBN", "TENT"]
    assert len(every(page, "#table-overview_grata th[aria-sort]")) == 1


def test_missing_numbers_are_last_both_ways(page):
    worse = [text.strip() for text in column(page, "table-scores_grata", 10)]
    assert "–" in worse
    for _ in range(2):
        every(page, "#table-scores_grata th button")[10].click()
        shown = column(page, "table-scores_grata", 10)
        assert set(shown[-worse.count("–") :]) == {"–"}


def test_filters_hide_rows_and_pictures(page):
    choose(page, "[data-key=target]", "Drishti_GS")
    choose(page, "[data-key=source]", "REFUGE")
    assert set(column(page, "table-targets_grata", 0)) == {"REFUGE"}
    assert set(column(page, "table-targets_grata", 1)) == {"Drishti_GS"}
    assert len(column(page, "table-targets_grata", 0)) == 4
    assert len(every(page, ".thumb")) == 10
    choose(page, "[data-key=seed]", "1")
    assert len(every(page, ".thumb")) == 5
    assert set(column(page, "table-seeds_grata", 3)) == {"1"}
    one(page, "#filters button[type=reset]").click()
    page.execute_async_script("setTimeout(arguments[0], 50)")
    assert len(column(page, "table-targets_grata", 0)) == 16
    assert len(every(page, ".thumb")) == 40


def test_methods_can_be_left_out(page):
    one(page, "#methods summary").click()
    one(page, ".choices input[value=TENT]").click()
    assert one(page, "#method-count").text == "3 of 4"
    assert column(page, "table-overview_grata", 0) == ["No Adapt", "PTBN", "GraTa"]
    one(page, ".choices button[data-all='']").click()
    assert column(page, "table-overview_grata", 0) == []
    assert (
        one(page, "#table-overview_grata")
        .find_element("xpath", "../..")
        .text.endswith("No row fits the filters.")
    )


def test_worst_and_best_first(page):
    shown = changes(page)
    assert shown == sorted(shown)
    assert shown[0] < 0 < shown[-1]
    choose(page, "#order", "change from No Adapt: best first")
    assert changes(page) == shown[::-1]
    choose(page, "#order", "Dice: lowest first")
    texts = [element.text for element in every(page, ".thumb .text > span:nth-child(3)")]
    dice = [float(text.split()[1]) for text in texts]
    assert dice == sorted(dice)


def test_an_image_shows_all_methods_side_by_side(page):
    from selenium.webdriver.common.keys import Keys

    thumbnail = every(page, ".thumb")[2]
    name = thumbnail.find_element("css selector", ".name").text
    thumbnail.click()
    assert one(page, "#compare").is_displayed()
    assert one(page, "#compare-title").text.startswith(f"{name} (")
    figures = every(page, "#compare figure")
    assert [f.get_attribute("data-method") for f in figures] == [
        "No Adapt",
        "PTBN",
        "TENT",
        "GraTa",
    ]
    for figure in figures:
        paths = figure.find_elements("css selector", "path")
        kinds = [path.get_attribute("class") for path in paths]
        assert kinds == ["halo", "disc", "halo", "cup", "true", "true"]
        assert all(path.rect["width"] > 10 for path in paths)
        assert "Dice disc" in figure.text
        assert "cup-to-disc ratio" in figure.text
        assert page.execute_script(
            "const i = arguments[0].querySelector('img'); return i.complete && i.naturalWidth",
            figure,
        )
    press(page, Keys.ARROW_RIGHT)
    assert one(page, "#compare-note").text.startswith("4 of 40.")
    press(page, Keys.ARROW_LEFT)
    press(page, Keys.ARROW_LEFT)
    assert one(page, "#compare-note").text.startswith("2 of 40.")
    press(page, Keys.ESCAPE)
    assert not one(page, "#compare").is_displayed()
    assert page.switch_to.active_element == thumbnail


def test_the_outline_lies_where_the_label_map_says(page, finished_run):
    """The disc's box on the screen is that of the prediction in the file."""
    import numpy as np
    from PIL import Image

    choose(page, "[data-key=source]", "REFUGE")
    choose(page, "[data-key=target]", "ORIGA")
    choose(page, "[data-key=seed]", "0")
    thumbnail = every(page, ".thumb")[0]
    name = thumbnail.find_element("css selector", ".name").text
    cell = "grata__REFUGE__ORIGA__GraTa__s0"
    path = finished_run / "cells" / cell / "predictions" / "ORIGA" / f"{name}.png"
    rows, columns = np.nonzero(np.asarray(Image.open(path)) >= 1)
    box = page.execute_script(
        """
        const view = arguments[0].querySelector(".view").getBoundingClientRect();
        const disc = arguments[0].querySelector("path.disc").getBoundingClientRect();
        return [(disc.left - view.left) / view.width, (disc.top - view.top) / view.height,
                (disc.right - view.left) / view.width, (disc.bottom - view.top) / view.height];
        """,
        thumbnail,
    )
    expected = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 48
    np.testing.assert_allclose(box, expected, atol=0.03)


def test_the_truth_can_be_hidden(page):
    assert one(page, ".thumb path.true").value_of_css_property("display") != "none"
    one(page, "#truth").click()
    assert one(page, ".thumb path.true").value_of_css_property("display") == "none"
    every(page, ".thumb")[0].click()
    assert not one(page, "#compare-truth").is_selected()
    one(page, "#compare-truth").click()
    assert one(page, "#compare path.true").value_of_css_property("display") != "none"
    one(page, "#close").click()
    assert one(page, "#truth").is_selected()


def test_light_and_dark(page):
    before = one(page, "body").value_of_css_property("background-color")
    one(page, "#theme").click()
    assert one(page, "body").value_of_css_property("background-color") != before
    one(page, "#theme").click()
    assert one(page, "body").value_of_css_property("background-color") == before


def test_a_narrow_screen_does_not_scroll_sideways(page):
    page.set_window_size(500, 900)
    try:
        wide = page.execute_script(
            "return [document.documentElement.scrollWidth, window.innerWidth]"
        )
        assert wide[0] <= wide[1]
        every(page, ".thumb")[0].click()
        assert one(page, "#compare").rect["width"] <= wide[1]
    finally:
        page.set_window_size(1300, 900)


def test_evil_names_run_nothing(chromium, tmp_path):
    evil = (
        "<img src=x onerror=\"document.title='owned'\"></script><script>document.title=1</script>"
    )
    methods = (("No Adapt", "source", {}), (evil, "grata", {}))
    run = write_run(
        tmp_path / "run", methods=methods, sources=("A",), targets=("B",), images=1, title="plain"
    )
    written = write_report(run, figures=False)
    chromium.get_log("browser")
    chromium.get(written.page.as_uri())
    every(chromium, ".thumb")[0].click()
    assert chromium.title == "plain"
    figure = every(chromium, "#compare figure")[1]
    assert figure.find_element("css selector", "strong").text == evil
    assert chromium.get_log("browser") == []


def test_a_run_without_pictures_and_with_one_method(chromium, tmp_path):
    methods = (("GraTa", "grata", {}),)
    run = write_run(tmp_path / "run", methods=methods, images=1, seeds=(0,), pictures=False)
    written = write_report(run, figures=False)
    chromium.get_log("browser")
    chromium.get(written.page.as_uri())
    every(chromium, ".thumb")[0].click()
    assert "no prediction was kept" in one(chromium, "#compare figure").text
    assert chromium.get_log("browser") == []
