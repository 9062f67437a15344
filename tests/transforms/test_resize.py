# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Resizing against PIL and torch, and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Resize
from PIL import Image
from torch.nn.functional import interpolate

from grata_monai.transforms.resize import ResizeFundus, ResizeFundusd

SIZES = [((80, 80), (51, 51)), ((37, 53), (64, 48)), ((64, 64), (32, 32)), ((41, 30), (41, 20))]


def random_bytes(channels, size):
    return np.random.RandomState(0).randint(0, 256, (channels, *size)).astype(np.uint8)


def pil_resize(channel, size, resample):
    return np.asarray(Image.fromarray(channel).resize(size[::-1], resample))


@pytest.mark.parametrize(("before", "after"), SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_bicubic_has_the_bits_of_pils_rgb(before, after, dtype):
    image = random_bytes(3, before)
    rgb = Image.fromarray(np.moveaxis(image, 0, -1)).resize(after[::-1], Image.Resampling.BICUBIC)
    resized = ResizeFundus(size=after)(image.astype(dtype))
    assert resized.numpy().dtype == dtype
    assert np.array_equal(resized.numpy(), np.moveaxis(np.asarray(rgb), -1, 0))


@pytest.mark.parametrize(
    "image", [np.random.RandomState(1).randn(2, 40, 30) * 300, np.eye(30)[None]]
)
def test_other_values_go_through_pils_float_mode(image):
    image = image.astype(np.float32)
    resized = ResizeFundus(size=17)(image)
    expected = [pil_resize(channel, (17, 17), Image.Resampling.BICUBIC) for channel in image]
    assert np.array_equal(resized.numpy(), np.stack(expected))
    assert len(np.unique(resized.numpy())) > 2  # an image of zeros and ones is not rounded


def test_integers_out_of_eight_bits_become_float():
    resized = ResizeFundus(size=4)(torch.arange(64, dtype=torch.int32).reshape(1, 8, 8) * 10)
    assert resized.dtype == torch.float32


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_nearest_is_pils_and_torchs_nearest_exact(before, after):
    label = random_bytes(1, before)
    resized = ResizeFundus(size=after, mode="nearest")(label)
    assert resized.dtype == torch.uint8
    assert np.array_equal(resized[0].numpy(), pil_resize(label[0], after, Image.Resampling.NEAREST))
    exact = interpolate(torch.from_numpy(label)[None].float(), after, mode="nearest-exact")
    assert np.array_equal(resized.numpy(), exact[0].numpy())


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32])
def test_nearest_keeps_dtype_and_values(dtype):
    label = (torch.arange(72).reshape(1, 8, 9) * 37 % 1000).to(dtype)
    resized = ResizeFundus(size=(4, 3), mode="nearest")(label)
    assert resized.dtype == dtype
    assert torch.equal(resized.as_tensor(), label[:, 1::2, 1::3])


@pytest.mark.parametrize("mode", ["bicubic", "nearest"])
def test_right_size_keeps_the_bits_in_new_memory(mode):
    image = torch.randn(3, 16, 16)
    resize = ResizeFundus(size=16, mode=mode)
    resized = resize(image)
    assert torch.equal(resized.as_tensor(), image)
    assert resized.data_ptr() != image.data_ptr()
    assert torch.equal(resize.inverse(resized).as_tensor(), image)


def test_inverse_of_bicubic_is_bilinear_for_probabilities():
    image = MetaTensor(torch.rand(3, 40, 60), meta={"filename_or_obj": "eye.png"})
    resize = ResizeFundus(size=16)
    small = resize(image)
    back = resize.inverse(small)
    expected = interpolate(small.as_tensor()[None], (40, 60), mode="bilinear")[0]
    torch.testing.assert_close(back.as_tensor(), expected)
    assert back.meta["filename_or_obj"] == "eye.png"
    torch.testing.assert_close(back.affine, image.affine)
    assert (len(small.applied_operations), len(back.applied_operations)) == (1, 0)


def test_affine_is_that_of_monais_resize():
    image = MetaTensor(torch.rand(1, 40, 60))
    expected = Resize((16, 20))(image).affine
    torch.testing.assert_close(ResizeFundus(size=(16, 20))(image).affine, expected)


@pytest.mark.parametrize("nearest", [True, False])
def test_invertd_with_and_without_nearest(nearest):
    pipeline = Compose([ResizeFundusd("image", size=8)])
    item = pipeline({"image": torch.rand(3, 24, 16)})
    probabilities = torch.rand(2, 8, 8)
    item["pred"] = MetaTensor(probabilities)
    invert = Invertd("pred", transform=pipeline, orig_keys="image", nearest_interp=nearest)
    back = invert(item)["pred"].as_tensor()
    mode = "nearest-exact" if nearest else "bilinear"
    torch.testing.assert_close(back, interpolate(probabilities[None], (24, 16), mode=mode)[0])


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_masks_are_never_interpolated_on_the_way_back(dtype):
    pipeline = Compose([ResizeFundusd("image", size=8)])
    item = pipeline({"image": torch.rand(3, 21, 13)})
    mask = torch.rand(2, 8, 8) > 0.5
    item["pred"] = MetaTensor(mask.to(dtype))
    invert = Invertd("pred", transform=pipeline, orig_keys="image", nearest_interp=False)
    back = invert(item)["pred"]
    exact = interpolate(mask[None].float(), (21, 13), mode="nearest-exact")[0]
    assert back.dtype == dtype
    assert torch.equal(back.as_tensor().float(), exact)


def test_bad_arguments():
    with pytest.raises(
        ValueError, match=r"must be one of bicubic, nearest\. Got 'bicubik'; did you"
    ):
        ResizeFundus(mode="bicubik")
    with pytest.raises(ValueError, match="'mode' parameter of ResizeFundusd must be one of"):
        ResizeFundusd("image", mode="area")
    with pytest.raises(ValueError, match="'size' parameter of ResizeFundus must be an integer"):
        ResizeFundus(size=(512, 0))


def test_dictionary_form_leaves_the_item_alone_and_may_miss_keys():
    item = {"image": torch.rand(3, 9, 9)}
    before = item["image"]
    keys = ("image", "label")
    resized = ResizeFundusd(keys, size=4, mode=("bicubic", "nearest"), allow_missing_keys=True)(
        item
    )
    assert set(resized) == {"image"}
    assert item["image"] is before
    with pytest.raises(KeyError, match="Key `label`"):
        ResizeFundusd(keys, size=4)(item)
