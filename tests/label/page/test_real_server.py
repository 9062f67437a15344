# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The page on the real server, in a browser."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("monailabel", reason="needs the extra 'label': bash scripts/test_label.sh")

from grata_monai.label import SegmentationService
from tests.label.page.driving import boxes, names, numbers, one, rows, text, wait

pytestmark = [pytest.mark.label, pytest.mark.browser]


def test_a_reviewer_segments_accepts_and_goes_on(chromium, live, app, paths):
    service = SegmentationService(app)
    expected, _ = service.segment(paths[0], service.settings.request({}), whole=True)
    chromium.get(f"{live.url}/grata/")
    chromium.get_log("browser")
    wait(lambda: rows(chromium), 30)
    assert sorted(names(chromium)) == ["eye 0", "eye 1", "eye 2"]
    rows(chromium)[names(chromium).index("eye 0")].click()
    wait(lambda: text(chromium, "#status") == "Segmented and adapted.", 60)

    occupied = np.argwhere(expected.labels >= 1)
    (top, left), (bottom, right) = occupied.min(axis=0), occupied.max(axis=0) + 1
    assert boxes(chromium, "adapted")[0] == pytest.approx([left, top, right, bottom], abs=1.5)
    assert numbers(chromium, "vcdr")[1] == f"{expected.vcdr:.3f}"

    one(chromium, "#accept").click()
    wait(lambda: text(chromium, "#study-state") == "accepted", 30)
    status, content, _ = live.request("GET", "/datastore/label?label=eye%200&tag=final")
    assert status == 200
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), expected.labels)

    one(chromium, "#next").click()
    wait(lambda: text(chromium, "#study-title") in {"eye 1", "eye 2"}, 30)
    severe = [entry for entry in chromium.get_log("browser") if entry["source"] != "network"]
    assert severe == []
