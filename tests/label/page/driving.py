# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests do with the page."""

from __future__ import annotations

EVIL = "<img src=x onerror=alert(1)>"


def wait(condition, seconds=10):
    """Return the first true value of a condition."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(None, seconds, poll_frequency=0.05).until(lambda _: condition())


def every(page, selector):
    return page.find_elements("css selector", selector)


def one(page, selector):
    return page.find_element("css selector", selector)


def texts(page, selector):
    """Return the visible texts of elements, read at once: the page may draw them anew any time."""
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)"
    return page.execute_script(script, selector)


def text(page, selector):
    (found,) = texts(page, selector)
    return found


def press(page, *keys):
    from selenium.webdriver import ActionChains

    ActionChains(page).send_keys(*keys).perform()


def choose(page, selector, value):
    from selenium.webdriver.support.ui import Select

    Select(one(page, selector)).select_by_value(value)


def names(page):
    return texts(page, "#list [role=option] .name")


def rows(page):
    return every(page, "#list [role=option]")


def open_study(page, name, status="Segmented and adapted."):
    """Open a study and wait for its results."""
    rows(page)[names(page).index(name)].click()
    wait(lambda: text(page, "#study-title") == name and text(page, "#status") == status)


def numbers(page, key):
    """Return a row of the table: without adaptation, adapted."""
    return texts(page, f"#numbers tr[data-key={key}] td")


def boxes(page, side):
    """Return [left, top, right, bottom] of disc and cup in the side's own units."""
    return page.execute_script(
        """
        return ["disc", "cup"].map((kind) => {
          const box = document.querySelector(`#${arguments[0]}-side path.${kind}`).getBBox();
          return [box.x, box.y, box.x + box.width, box.y + box.height];
        });
        """,
        side,
    )
