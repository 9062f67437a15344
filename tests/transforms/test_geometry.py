# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The weak views against MONAI and torch, and their inverses."""

from __future__ import annotations

import pytest
import torch
from monai.transforms import Flip, Rotate90

from grata_monai.transforms.geometry import WEAK_VIEWS, View

ORACLES = {
    "identity": lambda image: image,
    "hflip": Flip(spatial_axis=1),
    "vflip": Flip(spatial_axis=0),
    "rot90": Rotate90(k=1),
    "rot180": Rotate90(k=2),
    "rot270": Rotate90(k=3),
}


def test_names_and_order():
    assert [view.name for view in WEAK_VIEWS] == list(ORACLES)


@pytest.mark.parametrize("view", WEAK_VIEWS, ids=lambda view: view.name)
def test_equals_monai(view, generator):
    image = torch.rand(3, 5, 4, generator=generator)
    assert torch.equal(view.apply(image), torch.as_tensor(ORACLES[view.name](image)))


@pytest.mark.parametrize("view", WEAK_VIEWS, ids=lambda view: view.name)
@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 5, 4), (1, 2, 6, 5, 4)])
def test_inverse_is_exact_and_input_unchanged(view, shape, generator):
    images = torch.rand(shape, generator=generator)
    before = images.clone()
    assert torch.equal(view.invert(view.apply(images)), images)
    assert torch.equal(view.apply(view.invert(images)), images)
    assert torch.equal(images, before)


def test_rotations_as_the_paper_composes_them():
    image = torch.arange(6).reshape(2, 3)
    views = {view.name: view for view in WEAK_VIEWS}
    assert torch.equal(views["rot90"].apply(image), image.flip(-1).transpose(0, 1))
    assert torch.equal(views["rot270"].apply(image), image.transpose(0, 1).flip(-1))
    assert torch.equal(views["rot180"].apply(image), torch.rot90(image, 2))


def test_the_six_views_differ():
    image = torch.arange(9).reshape(3, 3)
    assert len({tuple(view.apply(image).flatten().tolist()) for view in WEAK_VIEWS}) == 6


def test_other_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"'flip' parameter of View must be a subset"):
        View("depth", flip=(-3,))
