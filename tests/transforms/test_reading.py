# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Reading photographs and masks of all sorts."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from monai.data import MetaTensor, list_data_collate, set_track_meta
from PIL import Image

from grata_monai.transforms import LoadFundusd, read_mask, read_photograph

PIXELS = np.random.RandomState(3).randint(0, 256, (6, 9, 3)).astype(np.uint8)
GREY = PIXELS[..., 0]


def save(image, path, **options):
    image.save(path, **options)
    return path


def test_photograph_is_channel_first_height_before_width(tmp_path):
    path = save(Image.fromarray(PIXELS), tmp_path / "eye.png")
    image = LoadFundusd("image")({"image": str(path)})["image"]
    assert image.shape == (3, 6, 9)
    assert image.dtype == torch.uint8
    assert np.array_equal(image.numpy(), PIXELS.transpose(2, 0, 1))
    assert image.meta["filename_or_obj"] == str(path)
    assert image.meta["spatial_shape"].tolist() == [6, 9]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P", "CMYK"])
def test_photographs_of_all_modes_become_rgb(mode, tmp_path):
    name = "eye.tif" if mode == "CMYK" else "eye.png"
    image = Image.fromarray(PIXELS).convert(mode)
    read = read_photograph(save(image, tmp_path / name))
    assert (read.mode, read.size) == ("RGB", (9, 6))
    assert np.array_equal(np.asarray(read), np.asarray(image.convert("RGB")))


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    levels = np.array([[0, 257, 385], [386, 40000, 65535]], np.uint16)
    read = np.asarray(read_photograph(save(Image.fromarray(levels), tmp_path / "eye.png")))
    assert read[..., 0].tolist() == [[0, 1, 1], [2, 156, 255]]  # round(level / 257)
    assert np.array_equal(read[..., 0], read[..., 2])
    deep = Image.fromarray(levels.astype(np.int32))
    assert deep.mode == "I"
    again = np.asarray(read_photograph(save(deep, tmp_path / "eye.tif")))
    assert np.array_equal(again, read)


def test_levels_without_a_known_range_are_refused(tmp_path):
    floats = save(Image.fromarray(GREY.astype(np.float32)), tmp_path / "float.tif")
    with pytest.raises(ValueError, match=r"float\.tif: its floating-point levels have no fixed"):
        read_photograph(floats)
    deep = save(Image.fromarray(np.full((3, 3), 70000, np.int32)), tmp_path / "deep.tif")
    with pytest.raises(ValueError, match=r"deep\.tif: its levels 70000\.\.70000 are neither 8"):
        read_photograph(deep)


def test_exif_orientation_is_not_followed_but_reported(tmp_path, caplog):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(Image.fromarray(PIXELS), tmp_path / "eye.jpg", exif=exif, quality=100)
    with caplog.at_level(logging.WARNING, logger="grata_monai"):
        assert read_photograph(path).size == (9, 6)
    assert "EXIF orientation" in caplog.text
    assert "eye.jpg" in caplog.text


def test_upright_photographs_are_not_reported(tmp_path, caplog):
    path = save(Image.fromarray(PIXELS), tmp_path / "eye.jpg")
    with caplog.at_level(logging.WARNING, logger="grata_monai"):
        read_photograph(path)
    assert not caplog.records


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_grey_masks_of_all_modes(mode, tmp_path):
    path = save(Image.fromarray(GREY).convert(mode), tmp_path / "mask.png")
    assert np.array_equal(np.asarray(read_mask(path)), GREY)
    loaded = LoadFundusd("label", kind="mask")({"label": path})["label"]
    assert np.array_equal(loaded.numpy(), GREY[None])


def test_one_bit_and_sixteen_bit_masks(tmp_path):
    bits = save(Image.fromarray(GREY > 99), tmp_path / "bits.png")
    assert np.array_equal(np.asarray(read_mask(bits)), np.where(GREY > 99, 255, 0))
    full = save(Image.fromarray(np.array([[0, 32896, 65535]], np.uint16)), tmp_path / "full.png")
    assert np.asarray(read_mask(full)).tolist() == [[0, 128, 255]]
    small = save(Image.fromarray(np.array([[0, 128, 255]], np.uint16)), tmp_path / "small.png")
    assert np.asarray(read_mask(small)).tolist() == [[0, 128, 255]]


def test_colored_mask_is_refused(tmp_path):
    path = save(Image.fromarray(PIXELS), tmp_path / "mask.png")
    with pytest.raises(ValueError, match=r"Cannot read the mask .*mask\.png: it has colors"):
        read_mask(path)


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"The photograph .*no\.png does not exist"):
        read_photograph(tmp_path / "no.png")
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(ValueError, match=r"Cannot read the photograph .*text\.png: "):
        read_photograph(tmp_path / "text.png")
    whole = save(Image.fromarray(np.tile(PIXELS, (20, 20, 1))), tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"Cannot read the mask .*half\.png: "):
        read_mask(tmp_path / "half.png")
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ValueError, match=r"Cannot read the photograph .*empty\.jpg: "):
        read_photograph(tmp_path / "empty.jpg")
    with pytest.raises(ValueError, match="Cannot read the photograph"):
        read_photograph(tmp_path)


def test_sizes_must_agree_and_both_files_are_named(tmp_path):
    image = save(Image.fromarray(PIXELS), tmp_path / "eye.png")
    mask = save(Image.fromarray(GREY[:, :8]), tmp_path / "mask.png")
    item = LoadFundusd("image")({"image": image, "label": mask})
    load = LoadFundusd("label", kind="mask", same_size_as="image")
    message = r"mask\.png has 6 rows and 8 columns, but .*eye\.png has 6 rows and 9 columns"
    with pytest.raises(ValueError, match=message):
        load(item)


def test_loaded_entries_pass_and_missing_ones_may(tmp_path):
    image = torch.zeros(3, 4, 4)
    item = {"image": image}
    assert LoadFundusd("image")(item)["image"] is image
    assert LoadFundusd("label", kind="mask", allow_missing_keys=True)(item) == item
    with pytest.raises(KeyError, match="Key `label`"):
        LoadFundusd("label", kind="mask")(item)
    with pytest.raises(ValueError, match=r"must be one of mask, photograph\. Got 'masks'; did you"):
        LoadFundusd("label", kind="masks")


def test_item_is_left_alone_and_batches_collate(tmp_path):
    paths = [save(Image.fromarray(PIXELS), tmp_path / f"{i}.png") for i in range(2)]
    items = [{"image": str(path)} for path in paths]
    batch = list_data_collate([LoadFundusd("image")(item) for item in items])
    assert items[0] == {"image": str(paths[0])}
    assert batch["image"].shape == (2, 3, 6, 9)
    assert batch["image"].meta["filename_or_obj"] == [str(path) for path in paths]


def test_without_metadata_tracking(tmp_path):
    path = save(Image.fromarray(PIXELS), tmp_path / "eye.png")
    set_track_meta(False)
    try:
        image = LoadFundusd("image")({"image": path})["image"]
    finally:
        set_track_meta(True)
    assert not isinstance(image, MetaTensor)
