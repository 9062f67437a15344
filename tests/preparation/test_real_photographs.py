# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Four genuine photographs in the official layout; skipped where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from grata_monai.bundle import run_workflow
from grata_monai.preparation import (
    DrishtiGS,
    PrepareOptions,
    compare_folders,
    paste_folder,
    prepare,
)

pytestmark = pytest.mark.real
OPTIONS = PrepareOptions(jobs=2, allow_partial=True, progress=False)


@pytest.fixture(scope="module")
def fundus(real_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("real") / "Fundus"
    outcome = prepare(DrishtiGS(), [real_data / "raw"], root, options=OPTIONS)
    assert len(outcome.records) == 4
    for record in outcome.records:
        assert (record.height, record.width, record.notes) == (800, 800, {})
    return root


def test_masks_are_those_of_the_folder_that_others_made(fundus, real_data):
    found = compare_folders(fundus, real_data / "Fundus", other_roi_size=512, progress=False)
    assert len(found.rows) == 4
    assert not list(found.problems(min_dice=0.99, max_shift=31))


def test_prediction_goes_back_onto_the_disc(fundus, real_data, tmp_path):
    """The source model's segmentation of the regions, in the photographs and on their discs."""
    run_workflow(
        "inference",
        dataset_dir=fundus,
        weights=real_data / "models" / "last-Res_Unet.pth",
        output_dir=tmp_path / "results",
        method="source",
        image_size=256,
        device="cpu",
    )
    table = fundus / "Drishti_GS" / "roi.csv"
    written = paste_folder(tmp_path / "results" / "predictions", table, tmp_path / "whole")
    assert written == 4
    for path in sorted((tmp_path / "whole").glob("*.png")):
        name = path.stem.removesuffix("_seg")
        (truth,) = (real_data / "raw").rglob(f"{name}_ODsegSoftmap.png")
        disc = np.asarray(Image.open(truth)) == 255
        predicted = np.asarray(Image.open(path)) > 0
        assert predicted.shape == disc.shape
        dice = 2 * (predicted & disc).sum() / (predicted.sum() + disc.sum())
        # the model was trained on regions of 512 pixels, these have 800
        assert dice > 0.75, name
