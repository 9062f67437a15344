# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Runs of inference.json on small images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from monai.bundle import ConfigWorkflow
from PIL import Image

from tests.bundle.conftest import CONFIGS, DOMAIN

SCORES = ("val_mean_dice", "val_assd", "val_vcdr_error")


def numpy_dice(prediction, mask):
    """Dice of disc and cup from a label map (0, 1, 2) and an authors' mask (255, 128, 0)."""
    pairs = [(prediction > 0, mask < 255), (prediction == 2, mask == 0)]
    return [2 * (a & b).sum() / (a.sum() + b.sum()) if (a | b).any() else 1.0 for a, b in pairs]


def read_listed(root):
    """Images and masks of the domain in the order of the data set."""
    frames = [pd.read_csv(root / f"{DOMAIN}_{split}.csv") for split in ("train", "test")]
    table = pd.concat(frames)
    return [(root / i, root / m) for i, m in zip(table["image"], table["mask"], strict=True)]


@pytest.mark.parametrize("method", ["source", "ptbn", "tent", "grata"])
def test_a_domain_with_masks(infer, root, tmp_path, method):
    workflow = infer(method=method)
    assert workflow.check_properties() == []
    output = tmp_path / "output"
    listed = read_listed(root)
    table = pd.read_csv(output / "val_mean_dice_raw.csv")
    assert [Path(name) for name in table["filename"]] == [image for image, _ in listed]
    for (image, mask), row in zip(listed, table.itertuples(), strict=True):
        prediction = np.asarray(Image.open(output / "predictions" / f"{image.stem}_seg.png"))
        assert set(np.unique(prediction)) <= {0, 1, 2}
        expected = numpy_dice(prediction, np.asarray(Image.open(mask)))
        assert [row.class0, row.class1] == pytest.approx(expected, abs=1e-5)
        volume = np.asarray(
            nibabel.load(output / "predictions" / f"{image.stem}_seg.nii.gz").dataobj
        )
        assert (prediction == volume[..., 0].T).all()
        assert (output / "predictions" / f"{image.stem}_overlay.png").is_file()
    means = dict(line.split(",") for line in (output / "metrics.csv").read_text().splitlines())
    assert float(means["val_mean_dice"]) == pytest.approx(table["mean"].mean(), abs=1e-5)
    assert set(means) == set(SCORES)
    trace = pd.read_csv(output / "trace.csv")
    assert len(trace) == len(listed)
    assert ("cosine" in trace) == (method == "grata")
    assert [Path(name).name for name in trace["image"]] == [image.name for image, _ in listed]


def test_methods_differ_and_share_the_source(infer, photographs, tmp_path):
    """With a large step, and a control that must agree: beta 0 is PTBN."""
    runs = {
        "ptbn": {"method": "ptbn", "guard": False},
        "still": {"method": "tent", "beta": 0.0},
        "moved": {"method": "tent", "beta": 0.5, "guard": False},
        "source": {"method": "source"},
    }
    pixels = {}
    for name, settings in runs.items():
        infer(
            dataset_dir=str(photographs), domain=None, output_dir=str(tmp_path / name), **settings
        )
        paths = sorted((tmp_path / name / "predictions").glob("*_seg.png"))
        pixels[name] = np.stack([np.asarray(Image.open(path)) for path in paths])
    assert (pixels["still"] == pixels["ptbn"]).all()
    assert (pixels["moved"] != pixels["ptbn"]).any()
    assert (pixels["source"] != pixels["ptbn"]).any()


def test_photographs_without_masks_of_another_size(infer, photographs, tmp_path):
    for path in photographs.iterdir():
        Image.open(path).resize((90, 70)).save(path)
    workflow = infer(dataset_dir=str(photographs), domain=None, method="source")
    assert workflow.key_metric is None
    assert workflow.check_properties() == []
    output = tmp_path / "output"
    assert not list(output.glob("val_*"))
    assert not (output / "metrics.csv").exists()
    for path in photographs.iterdir():
        saved = Image.open(output / "predictions" / f"{path.stem}_seg.png")
        assert saved.size == (90, 70)


def test_one_photograph_without_saving(infer, photographs, tmp_path):
    photograph = next(photographs.iterdir())
    workflow = infer(dataset_dir=str(photograph), domain=None, method="ptbn", save=False)
    assert workflow.evaluator.state.iteration == 1
    assert not (tmp_path / "output" / "predictions").exists()


def test_a_broken_photograph_is_named_and_left_out(infer, photographs, tmp_path):
    (photographs / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    workflow = infer(dataset_dir=str(photographs), domain=None, method="source")
    assert workflow.evaluator.state.iteration == 2
    skipped = pd.read_csv(tmp_path / "output" / "skipped.csv")
    assert [Path(name).name for name in skipped["skipped_image"]] == ["broken.png"]
    (photographs / "broken.png").unlink()
    infer(dataset_dir=str(photographs), domain=None, only_initialize=True, overwrite=True)
    assert not (tmp_path / "output" / "skipped.csv").exists()


def test_equal_names_in_two_folders_keep_their_folders(infer, photographs, tmp_path):
    first = next(photographs.iterdir())
    for folder in ("left", "right"):
        (photographs / folder).mkdir()
        shutil.copy(first, photographs / folder / "eye.png")
    infer(dataset_dir=str(photographs), domain=None, method="source")
    predictions = tmp_path / "output" / "predictions"
    assert (predictions / "left" / "eye_seg.png").is_file()
    assert (predictions / "right" / "eye_seg.png").is_file()
    assert (predictions / f"{first.stem}_seg.png").is_file()


def test_options_of_the_method_and_life_cycle_reach_the_adapter(infer):
    workflow = infer(
        method="grata",
        life_cycle="per_image",
        seed=3,
        method_options={"mapping": "linear"},
        only_initialize=True,
    )
    adapter = workflow.inferer.adapter
    assert (adapter.life_cycle, adapter.seed, adapter.mapping) == ("per_image", 3, "linear")
    assert adapter.beta == 1e-4


def test_parts_that_need_no_data_can_be_had_without(weights):
    workflow = ConfigWorkflow(
        str(CONFIGS / "inference.json"),
        workflow_type="inference",
        logging_file=False,
        weights=str(weights),
        device="cpu",
    )
    workflow.parser.parse(reset=True)
    for key in ("network_def", "preprocessing", "inferer", "postprocessing"):
        assert workflow.parser.get_parsed_content(key) is not None


def test_a_second_run_leaves_no_scores_of_the_first_and_says_what_it_was(
    infer, photographs, tmp_path
):
    infer(method="source")
    assert list((tmp_path / "output").glob("val_*_raw.csv"))
    infer(dataset_dir=str(photographs), domain=None, method="ptbn", seed=3, overwrite=True)
    assert not list((tmp_path / "output").glob("val_*_raw.csv"))
    assert not (tmp_path / "output" / "metrics.csv").exists()
    settings = json.loads((tmp_path / "output" / "settings.json").read_text())
    assert (settings["method"], settings["seed"], settings["life_cycle"]) == (
        "ptbn",
        3,
        "per_dataset",
    )


def test_results_inside_the_folder_of_photographs_are_not_segmented_again(infer, photographs):
    for overwrite in (False, True):
        infer(
            dataset_dir=str(photographs),
            domain=None,
            method="source",
            output_dir=str(photographs),
            overwrite=overwrite,
        )
        assert len(pd.read_csv(photographs / "trace.csv")) == 2
