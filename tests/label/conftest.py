# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Photographs, a source model and an app."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from grata_monai.data import paint_photograph
from grata_monai.label import LabelSettings, SegmentationService, init_app
from tests.label.live_server import serving
from tests.source_models import write_plausible_source

HEIGHT, WIDTH, ROI, SIZE = 160, 200, 96, 64


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    return write_plausible_source(tmp_path_factory.mktemp("weights") / "model.pt", size=SIZE)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """Three synthetic photographs: PNG, JPEG with a capital extension, TIFF."""
    folder = tmp_path_factory.mktemp("studies")
    for index, suffix in enumerate((".png", ".JPG", ".tif")):
        pixels, _ = paint_photograph("Synthetic_C", seed=index, height=HEIGHT, width=WIDTH)
        Image.fromarray(pixels).save(folder / f"eye {index}{suffix}")
    return folder


@pytest.fixture(scope="session")
def paths(photographs):
    return sorted(photographs.iterdir())


@pytest.fixture(scope="session")
def settings():
    return LabelSettings(image_size=SIZE, roi_size=ROI, device="cpu", locator="classical", beta=0.5)


@pytest.fixture(scope="session")
def app(tmp_path_factory, weights, settings):
    folder = tmp_path_factory.mktemp("app")
    init_app(folder, weights, settings)
    return folder


@pytest.fixture
def service(app):
    return SegmentationService(app)


@pytest.fixture
def photograph(paths):
    return np.asarray(Image.open(paths[0]).convert("RGB"))


@pytest.fixture(scope="module")
def live(tmp_path_factory, weights, settings, photographs):
    """A real server on copies of everything."""
    with serving(
        tmp_path_factory, weights, settings, photographs, options=["--no-scoring"]
    ) as live:
        yield live
