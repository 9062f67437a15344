# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Random views: put back exactly, drawn from the generator alone, the same each time."""

from __future__ import annotations

import pytest
import torch

from grata_monai.transforms import StrongView, View
from grata_monai.transforms.random_view import RandomView

UNCHANGED = StrongView(
    brightness_probability=0.0,
    contrast_probability=0.0,
    gamma_probability=0.0,
    noise_probability=0.0,
    blur_probability=0.0,
)


def test_geometry_is_undone(generator):
    images = torch.arange(48.0).reshape(1, 3, 4, 4) / 47  # the style rescales to [0, 1]
    names = set()
    for _ in range(60):
        view = RandomView(style=UNCHANGED).draw(images, generator)
        names.add(view.geometry.name)
        assert torch.equal(view.invert(view.apply(images)), images)
    assert names == {"identity", "hflip", "vflip", "rot90", "rot180", "rot270"}


def test_a_drawn_view_is_always_the_same_and_leaves_images_alone(generator):
    images = torch.rand(2, 3, 6, 8, generator=generator)
    kept = images.clone()
    view = RandomView().draw(images, generator)
    assert torch.equal(view.apply(images), view.apply(images))
    assert torch.equal(images, kept)
    assert not torch.equal(view.invert(view.apply(images)), images)


def test_equal_seeds_draw_equal_views():
    images = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    views = [RandomView().draw(images, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(views[0].apply(images), views[1].apply(images))


def test_settings():
    only = RandomView(geometries=[View("hflip", flip=(-1,))], style=UNCHANGED)
    images = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    view = only.draw(images, torch.Generator())
    assert view.apply(images).flatten().tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="'geometries'"):
        RandomView(geometries=[])
