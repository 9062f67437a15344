# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""From files to the network and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import AsDiscreted, Compose, Invertd
from PIL import Image

from grata_monai.transforms.fundus import fundus_preprocessing
from grata_monai.transforms.labels import disc_center
from tests.transforms.conftest import disc_mask


def reference_image(path, size):
    """The authors' route: PIL, then minimum and maximum over all channels."""
    image = Image.open(path).resize((size, size), Image.Resampling.BICUBIC)
    array = np.asarray(image).astype(np.float32).transpose(2, 0, 1)
    return (array - array.min()) / (array.max() - array.min())


def test_image_and_mask_as_the_authors_prepare_them(fundus_files):
    item = {"image": str(fundus_files / "eye.png"), "label": str(fundus_files / "eye_mask.png")}
    before = dict(item)
    ready = fundus_preprocessing(size=32)(item)
    assert item == before
    np.testing.assert_allclose(ready["image"], reference_image(item["image"], 32), atol=1e-6)
    mask = np.asarray(Image.open(item["label"]).resize((32, 32), Image.Resampling.NEAREST))
    assert np.array_equal(ready["label"].numpy(), np.stack([mask < 255, mask == 0]))
    assert ready["image"].dtype == ready["label"].dtype == torch.float32


def test_constant_photograph_is_finite(tmp_path):
    Image.new("RGB", (20, 20), (90, 90, 90)).save(tmp_path / "flat.png")
    ready = fundus_preprocessing(size=16)({"image": str(tmp_path / "flat.png")})
    assert torch.equal(ready["image"].as_tensor(), torch.zeros(3, 16, 16))


def test_mask_may_be_missing_and_keys_renamed(fundus_files):
    path = str(fundus_files / "eye.png")
    assert set(fundus_preprocessing(size=16)({"image": path})) == {"image"}
    ready = fundus_preprocessing(size=16, keys=("photo",))({"photo": path, "label": "untouched"})
    assert ready["photo"].shape == (3, 16, 16)
    assert ready["label"] == "untouched"
    with pytest.raises(ValueError, match="'keys' parameter of fundus_preprocessing must be"):
        fundus_preprocessing(keys="image")


def test_errors_of_a_step_are_the_cause_of_monais_error(tmp_path, fundus_files):
    item = {"image": str(fundus_files / "eye.png"), "label": str(tmp_path / "no.png")}
    with pytest.raises(RuntimeError, match="applying transform") as caught:
        fundus_preprocessing(size=16)(item)
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert "no.png" in str(caught.value.__cause__)


@pytest.mark.parametrize("center", [(45, 60), (4, 85), (88, 117), (0, 0)])
@pytest.mark.parametrize("size", [40, 20])
def test_a_predicted_disc_returns_to_its_pixels(center, size, tmp_path):
    height, width, radius = 90, 120, 8
    mask = disc_mask(height, width, *center, radius, 3)
    Image.fromarray(np.stack([mask] * 3, -1)).save(tmp_path / "eye.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    pipeline = fundus_preprocessing(size=size, roi_size=40)
    ready = pipeline(
        {
            "image": str(tmp_path / "eye.png"),
            "label": str(tmp_path / "mask.png"),
            "disc_center": center,
        }
    )
    ready["pred"] = MetaTensor(ready["label"].as_tensor())  # a network without a fault
    back = Invertd("pred", transform=pipeline, orig_keys="image")(ready)["pred"].numpy()
    truth = np.stack([mask < 255, mask == 0]).astype(np.float32)
    assert back.shape == (2, height, width)
    if size == 40:  # no resampling: every pixel
        assert np.array_equal(back, truth)
    else:  # half the size: only pixels at the edges may differ, and not on one side
        distance = np.hypot(*(np.mgrid[:height, :width] - np.array(center)[:, None, None]))
        at_edge = abs(distance - radius) <= 1.5
        at_edge[:, -1] = True  # shares its network pixel with the padding beside it
        assert at_edge[back[0] != truth[0]].all()
        if center == (45, 60):
            rows, columns = np.nonzero(back[0])
            assert abs(rows.mean() - 45) < 0.6
            assert abs(columns.mean() - 60) < 0.6


def test_probabilities_survive_a_data_loader_and_decollation(fundus_files):
    center = disc_center(np.asarray(Image.open(fundus_files / "eye_mask.png")))
    assert center == (25.0, 40.0)
    item = {
        "image": str(fundus_files / "eye.png"),
        "label": str(fundus_files / "eye_mask.png"),
        "disc_center": center,
    }
    pipeline = fundus_preprocessing(size=48, roi_size=32)
    batch = next(iter(DataLoader(Dataset([item, item], pipeline), batch_size=2)))
    batch["pred"] = batch["label"] * 0.9
    post = Compose(
        [
            Invertd("pred", transform=pipeline, orig_keys="image", nearest_interp=False),
            AsDiscreted("pred", threshold=0.5),
        ]
    )
    truth = np.asarray(Image.open(item["label"])) < 255
    for one in decollate_batch(batch):
        pred = post(one)["pred"]
        assert pred.meta["filename_or_obj"] == item["image"]
        assert pred.shape == (2, 60, 90)
        disc = pred[0].numpy() > 0
        assert 2 * (disc & truth).sum() / (disc.sum() + truth.sum()) > 0.97


@pytest.mark.real
def test_real_photograph_has_the_bits_of_the_authors_route(real_data):
    folder = real_data / "Fundus" / "Drishti_GS" / "test"
    path = sorted((folder / "image").glob("*.png"))[0]
    ready = fundus_preprocessing(size=256)(
        {"image": str(path), "label": str(folder / "mask" / path.name)}
    )
    np.testing.assert_allclose(ready["image"], reference_image(path, 256), atol=1e-6)
