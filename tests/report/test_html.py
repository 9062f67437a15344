# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The page is one file, names in it cannot become code, and it says what is missing."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from grata_monai.report import read_run, write_report
from grata_monai.report.gallery import Gallery
from grata_monai.report.html import focus_method, gallery_note, safe_json

EVIL = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'


class Page(HTMLParser):
    """Collects a page's tags, the text of its scripts, and the cells of its tables' rows."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.scripts, self.tables = [], [], [], [], []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append(0)
        if tag in {"td", "th"}:
            self.tables[-1][-1] += 1
        if "id" in found:
            self.ids.append(found["id"])
        self.links += [found[name] for name in ("src", "href") if name in found]

    def handle_endtag(self, tag):
        self._in_script = False

    def handle_data(self, data):
        if self._in_script:
            self.scripts[-1] += data


def page_of(run, folder):
    written = write_report(run, folder, figures=False)
    return Page(written.page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(finished_report):
    return Page(finished_report.page.read_text(encoding="utf-8"))


def test_nothing_is_loaded_from_elsewhere(page):
    assert page.links
    for link in page.links:
        assert link.startswith(("#", "data:")), link


def test_ids_are_unique_and_links_lead_somewhere(page):
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids


def test_controls_have_labels(page):
    names = []
    for tag, found in page.tags:
        if tag in {"button", "dialog"}:
            names.append(found)
        if tag == "img":
            assert "alt" in found
    unnamed = [
        found for found in names if found.get("id") in {"previous", "next", "close", "theme"}
    ]
    assert len(unnamed) == 4
    assert all(found["aria-label"] for found in unnamed)


def test_the_data_can_be_read_back(page):
    data = json.loads(page.scripts[0])
    assert data["methods"] == ["No Adapt", "PTBN", "TENT", "GraTa"]
    assert data["baseline"] == 0
    assert len(data["images"]) == 15
    assert len(data["results"]) == 160


def test_every_table_has_a_cell_for_every_column(page):
    assert len(page.tables) == 5 + 1
    for rows in page.tables:
        assert len(rows) > 1
        assert len(set(rows)) == 1


def test_evil_names_stay_names(make_run, tmp_path):
    methods = ((EVIL, "source", {}), ("A & B", "grata", {}))
    run = make_run(methods=methods, images=1, title=EVIL, preset=EVIL, pictures=False)
    page = page_of(run, tmp_path / "out")
    assert len(page.scripts) == 3
    assert [tag for tag, found in page.tags if "onerror" in found or found.get("src") == "x"] == []
    data = json.loads(page.scripts[0])
    assert data["methods"] == [EVIL, "A & B"]
    boxes = [found["value"] for tag, found in page.tags if tag == "input" and "value" in found]
    assert boxes == [EVIL, "A & B"]


def test_json_is_escaped_and_read_back():
    text = safe_json({"a": EVIL + "&\u2028"})
    assert not re.search("[<>&\u2028]", text)
    assert json.loads(text) == {"a": EVIL + "&\u2028"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        safe_json(float("nan"))


def test_a_run_that_is_not_complete_says_so(make_run, tmp_path):
    run = make_run(sources=("A",), images=1, seeds=(0,), skip_cells=2, pictures=False)
    written = write_report(run, tmp_path / "out", figures=False)
    text = written.page.read_text(encoding="utf-8")
    assert written.state.startswith("NOT COMPLETE: 10 of 12")
    assert f"This run is {written.state}" in text


def test_a_complete_run_has_no_warning(page):
    assert not [found for tag, found in page.tags if found.get("class") == "warning"]


def test_notes_on_what_is_left_out():
    image = {"name": "a"}
    assert gallery_note(Gallery()) == ""
    assert gallery_note(Gallery(left_out=3)).startswith("No images are embedded")
    assert "1 of 4 images are embedded" in gallery_note(Gallery([image], left_out=3))
    assert "no picture of 1" in gallery_note(Gallery([image], without_picture=1))


@pytest.mark.parametrize(
    ("methods", "focus"),
    [
        ((("No Adapt", "source", {}), ("GraTa", "grata", {}), ("TENT", "tent", {})), "GraTa"),
        ((("No Adapt", "source", {}), ("PTBN", "ptbn", {}), ("TENT", "tent", {})), "TENT"),
        ((("No Adapt", "source", {}),), "No Adapt"),
        ((("a", "grata", {"mapping": "relu"}), ("b", "grata", {}), ("c", "tent", {})), "b"),
    ],
)
def test_the_method_shown_first(make_run, methods, focus):
    run = read_run(make_run(methods=methods, images=1, seeds=(0,), pictures=False))
    assert focus_method(run) == focus


def test_sizes_stay_small(finished_report):
    assert finished_report.page.stat().st_size < 400_000
