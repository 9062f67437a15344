# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Decoding and encoding of disc and cup."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from grata_monai.transforms.labels import (
    DecodeFundusLabel,
    DecodeFundusLabeld,
    disc_center,
    encode_fundus_label,
    label_map,
)

GREY = torch.tensor([[[255, 254, 128], [1, 0, 255]]])
DISC = [[0, 1, 1], [1, 1, 0]]
CUP = [[0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int64])
@pytest.mark.parametrize("channels", [1, 3])
def test_decode(dtype, channels):
    decoded = DecodeFundusLabel()(GREY.expand(channels, 2, 3).to(dtype))
    assert decoded.dtype == torch.float32
    assert decoded.tolist() == [DISC, CUP]


def test_decode_accepts_numpy_and_keeps_metadata():
    assert DecodeFundusLabel()(GREY.numpy().astype(np.uint8)).tolist() == [DISC, CUP]
    decoded = DecodeFundusLabel()(MetaTensor(GREY, meta={"filename_or_obj": "m.png"}))
    assert decoded.meta["filename_or_obj"] == "m.png"


def test_decode_of_an_empty_mask():
    assert DecodeFundusLabel()(torch.full((1, 4, 4), 255)).sum() == 0


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.stack([GREY[0], GREY[0], 255 - GREY[0]]), "or three equal channels"),
        (GREY[0], r"must have the shape \(1, height, width\).*Got \(2, 3\)"),
        (GREY.expand(2, 2, 3), r"Got \(2, 2, 3\)"),
        (GREY / 255, "values from 0 to 1; decode the mask before anything rescales"),
        (GREY * 256, "values from 0 to 65280"),
        (GREY - 1, "values from -1 to 254"),
        (torch.tensor([[[0, 1, 2]]]), "look like labels 0/1/2"),
    ],
)
def test_decode_refuses_what_is_no_grey_mask(mask, message):
    with pytest.raises(ValueError, match=message):
        DecodeFundusLabel()(mask)


def test_error_names_the_file():
    with pytest.raises(ValueError, match=r"^a/m\.png: values from 0 to 2"):
        DecodeFundusLabel()(MetaTensor([[[0, 1, 2]]], meta={"filename_or_obj": "a/m.png"}))


def test_dictionary_form():
    item = {"label": GREY}
    decoded = DecodeFundusLabeld(("label", "other"), allow_missing_keys=True)(item)
    assert decoded["label"].tolist() == [DISC, CUP]
    assert item["label"] is GREY
    with pytest.raises(KeyError, match="Key `other`"):
        DecodeFundusLabeld("other")(item)


@pytest.mark.parametrize("kind", [torch.tensor, np.array, lambda m: torch.tensor(m).bool()])
def test_label_map_and_grey_by_hand(kind):
    mask = kind([[[0, 1, 1, 0]], [[0, 0, 1, 1]]])  # the last cup pixel lies outside the disc
    assert label_map(mask).tolist() == [[0, 1, 2, 0]]
    assert encode_fundus_label(mask).tolist() == [[255, 128, 0, 255]]
    assert label_map(mask).dtype == encode_fundus_label(mask).dtype == np.uint8


def test_decode_undoes_encode():
    disc = torch.rand(9, 8, generator=torch.Generator().manual_seed(0)) > 0.3
    cup = disc & (torch.rand(9, 8, generator=torch.Generator().manual_seed(1)) > 0.5)
    mask = torch.stack([disc, cup]).float()
    assert torch.equal(DecodeFundusLabel()(encode_fundus_label(mask)[None]).as_tensor(), mask)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(1, 4, 4), r"must have the shape \(2, height, width\). Got \(1, 4, 4\)"),
        (torch.full((2, 4, 4), 0.7), "only 0 and 1.*threshold probabilities first"),
    ],
)
def test_label_map_refuses_other_masks(mask, message):
    with pytest.raises(ValueError, match=message):
        label_map(mask)


def test_disc_center_is_the_centroid_of_the_largest_part():
    mask = np.full((1, 40, 50), 255, np.uint8)
    mask[0, 10:21, 30:35] = 128  # rows 10..20, columns 30..34
    mask[0, 12:15, 31:33] = 0  # the cup belongs to the disc
    mask[0, 0:3, 0:3] = 128  # a speck
    for given in (mask, mask[0], torch.from_numpy(mask), MetaTensor(mask)):
        assert disc_center(given) == (15.0, 32.0)


def test_disc_center_needs_a_disc_and_a_mask():
    with pytest.raises(ValueError, match="has no disc"):
        disc_center(np.full((5, 5), 255))
    with pytest.raises(ValueError, match=r"Got \(3, 5, 5\)"):
        disc_center(np.zeros((3, 5, 5)))
