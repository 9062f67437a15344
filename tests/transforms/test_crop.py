# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Cropping the disc region and pasting it back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, SpatialCrop, SpatialPad

from grata_monai.transforms.crop import CropDiscRegion, CropDiscRegiond, cut_window

CENTERS = [(30, 40), (0, 0), (59, 89), (3.4, 80.7), (20.8, 40.2), (30.5, 88), (-0.4, 89.4)]


def padded_window(image, center, size, fill):
    """Independent route: pad generously with numpy, then slice."""
    margin = 200
    wide = np.pad(image, [(0, 0), (margin,) * 2, (margin,) * 2], constant_values=fill)
    top = round(center[0]) - size // 2 + margin
    left = round(center[1]) - size // 2 + margin
    return wide[:, top : top + size, left : left + size]


@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize("size", [10, 11, 100])
def test_window_is_centered_and_filled_outside(center, size):
    image = np.random.RandomState(0).randint(0, 256, (3, 60, 90)).astype(np.uint8)
    region = CropDiscRegion(roi_size=size, fill=255)(image, center)
    assert region.dtype == torch.uint8
    assert np.array_equal(region.numpy(), padded_window(image, center, size, 255))


@pytest.mark.parametrize("center", CENTERS)
@pytest.mark.parametrize("size", [10, 11, 100])
def test_inverse_pastes_the_region_where_it_was(center, size):
    image = np.random.RandomState(0).rand(2, 60, 90).astype(np.float32) + 1
    crop = CropDiscRegion(roi_size=size, fill=7)
    full = crop.inverse(crop(image, center)).numpy()
    inside = padded_window(np.ones((1, 60, 90)), center, size, 0)  # pixels that came from the image
    assert full.shape == image.shape
    assert (full > 0).sum() == 2 * inside.sum()
    assert np.array_equal(full[full > 0], image[full > 0])


def test_round_trip_keeps_metadata_and_the_callers_tensors():
    image = MetaTensor(torch.rand(1, 20, 30), meta={"filename_or_obj": "eye.png"})
    crop = CropDiscRegion(roi_size=8)
    region = crop(image, (10, 10))
    assert image.applied_operations == []
    back = crop.inverse(region)
    assert len(region.applied_operations) == 1  # inverting does not consume the region's own stack
    assert back.applied_operations == []
    assert back.meta["filename_or_obj"] == "eye.png"
    assert torch.equal(back.affine, image.affine)


def test_affine_is_that_of_monais_crop():
    image = MetaTensor(torch.rand(1, 20, 30))
    region = CropDiscRegion(roi_size=8)(image, (10, 15))
    assert torch.equal(region.affine, SpatialCrop((10, 15), (8, 8))(image).affine)
    over = CropDiscRegion(roi_size=8)(image, (2, 2))  # two rows and columns outside
    padded = SpatialPad((22, 32), method="symmetric")(image)
    assert torch.equal(over.affine[:2, 3], torch.tensor([-2.0, -2.0]).double())
    assert padded.affine[0, 3] == -1  # MONAI's sign for one padded row: the same


def test_without_a_center_the_image_stays_whole_and_can_be_inverted():
    image = torch.rand(1, 20, 30)
    crop = CropDiscRegion(roi_size=8)
    whole = crop(image)
    assert torch.equal(whole.as_tensor(), image)
    assert torch.equal(crop.inverse(whole).as_tensor(), image)
    assert whole.data_ptr() != image.data_ptr()


@pytest.mark.parametrize(
    ("center", "message"),
    [
        ((25, 10), r"\(row 25, column 10\) lies outside the photograph, .* 20 rows and 30 columns"),
        ((10, -3), "are row and column exchanged"),
        ((float("nan"), 3), r"two finite numbers \(row, column\)"),
        ((1, 2, 3), r"two finite numbers \(row, column\). Got \[1.0, 2.0, 3.0\]"),
    ],
)
def test_impossible_centers(center, message):
    with pytest.raises(ValueError, match=message):
        CropDiscRegion(roi_size=8)(torch.rand(1, 20, 30), center)


def test_message_names_the_photograph():
    image = MetaTensor(torch.rand(1, 20, 30), meta={"filename_or_obj": "a/eye.png"})
    with pytest.raises(ValueError, match=r"lies outside a/eye\.png"):
        CropDiscRegion(roi_size=8)(image, (25, 3))


@pytest.mark.parametrize("size", [0, 2.5])
def test_bad_region_size(size):
    with pytest.raises(
        ValueError, match="'roi_size' parameter of CropDiscRegion must be an integer"
    ):
        CropDiscRegion(roi_size=size)


def test_dictionary_form_fills_per_key_and_leaves_the_item_alone():
    item = {
        "image": torch.ones(3, 20, 30),
        "label": torch.ones(1, 20, 30),
        "disc_center": np.array([0, 0]),
    }
    before = dict(item)
    crop = CropDiscRegiond(("image", "label"), roi_size=6, fill=(0, 255))
    cropped = crop(item)
    assert item == before
    assert cropped["image"][:, 0, 0].tolist() == [0, 0, 0]
    assert cropped["label"][:, 0, 0].tolist() == [255]
    assert cropped["label"][:, 3, 3].tolist() == [1]
    back = crop.inverse(cropped)
    assert back["label"][:, :3, :3].min() == 1
    assert back["label"].sum() == 9


def test_dictionary_form_with_missing_keys_and_centers():
    crop = CropDiscRegiond(("image", "label"), roi_size=6, allow_missing_keys=True)
    assert crop({"image": torch.ones(1, 9, 9)})["image"].shape == (1, 9, 9)
    assert crop({"image": torch.ones(1, 9, 9), "disc_center": None})["image"].shape == (1, 9, 9)
    strict = CropDiscRegiond("image", roi_size=6, allow_missing_center=False)
    with pytest.raises(KeyError, match=r"under 'disc_center'; the item has \['image'\]"):
        strict({"image": torch.ones(1, 9, 9)})
    with pytest.raises(KeyError, match="Key `image`"):
        strict({"disc_center": (1, 1)})


def test_monais_invertd_takes_a_prediction_back():
    crop = Compose([CropDiscRegiond("image", roi_size=8)])
    item = crop({"image": torch.rand(3, 20, 30), "disc_center": (2, 28)})
    item["pred"] = MetaTensor(torch.ones(2, 8, 8))
    back = Invertd("pred", transform=crop, orig_keys="image")(item)["pred"]
    expected = torch.zeros(2, 20, 30)
    expected[:, :6, 24:] = 1
    assert torch.equal(back.as_tensor(), expected)


def test_cut_window_that_misses_the_image_is_all_fill():
    assert torch.equal(cut_window(torch.ones(1, 4, 4), 9, -9, 2, 3, 5), torch.full((1, 2, 3), 5.0))
