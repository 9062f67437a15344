# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The views as MONAI transforms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Flip, Invertd, Rotate90

from grata_monai.transforms.geometry import WEAK_VIEWS
from grata_monai.transforms.style import StrongView
from grata_monai.transforms.views import RandStrongView, RandStrongViewd, WeakView, WeakViewd

IMAGE = torch.rand(3, 12, 10, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("view", WEAK_VIEWS, ids=lambda view: view.name)
def test_weak_view_and_its_inverse(view):
    image = MetaTensor(IMAGE, meta={"filename_or_obj": "eye.png"})
    transform = WeakView(view=view.name)
    turned = transform(image)
    assert torch.equal(turned.as_tensor(), view.apply(IMAGE))
    assert turned.is_contiguous()
    back = transform.inverse(turned)
    assert torch.equal(back.as_tensor(), IMAGE)
    assert torch.equal(back.affine, image.affine)
    assert (len(image.applied_operations), len(turned.applied_operations)) == (0, 1)
    assert back.applied_operations == []
    assert turned.data_ptr() != image.data_ptr()


@pytest.mark.parametrize(
    ("name", "oracle"),
    [("hflip", Flip(1)), ("vflip", Flip(0)), *[(f"rot{90 * k}", Rotate90(k)) for k in (1, 2, 3)]],
)
def test_affine_is_monais(name, oracle):
    image = MetaTensor(IMAGE)
    torch.testing.assert_close(WeakView(view=name)(image).affine, oracle(image).affine)


def test_invertd_turns_a_prediction_back():
    pipeline = Compose([WeakViewd(("image", "label"), view="rot90", allow_missing_keys=True)])
    item = pipeline({"image": IMAGE})
    prediction = torch.rand(2, 12, 10)
    item["pred"] = MetaTensor(torch.rot90(prediction, 1, (1, 2)))
    back = Invertd("pred", transform=pipeline, orig_keys="image")(item)["pred"]
    assert torch.equal(back.as_tensor(), prediction)


def test_unknown_view():
    with pytest.raises(ValueError, match=r"must be one of hflip, identity.* Got 'rot45'"):
        WeakView(view="rot45")


def test_strong_view_repeats_with_the_random_state_and_leaves_the_image():
    before = IMAGE.clone()
    numpy_state = np.random.get_state()[1].copy()
    first, second = RandStrongView(), RandStrongView()
    first.set_random_state(3)
    second.set_random_state(3)
    views = [first(IMAGE) for _ in range(3)]
    for view in views:
        assert torch.equal(view, second(IMAGE))
    assert not torch.equal(views[0], views[1])
    assert torch.equal(first(IMAGE, randomize=False), first(IMAGE, randomize=False))
    assert torch.equal(IMAGE, before)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


def test_strong_view_is_that_of_the_library():
    transform = RandStrongView(strong=StrongView(always=True))
    transform.set_random_state(0)
    view = transform(MetaTensor(IMAGE, meta={"filename_or_obj": "eye.png"}))
    generator = torch.Generator().manual_seed(transform.seed_)
    expected = StrongView(always=True)(IMAGE[None], generator)[0]
    assert torch.equal(view.as_tensor(), expected)
    assert view.meta["filename_or_obj"] == "eye.png"


def test_strong_view_with_probability():
    never = RandStrongView(prob=0.0)
    assert torch.equal(never(IMAGE).as_tensor(), IMAGE)
    half = RandStrongView(strong=StrongView(always=True), prob=0.5).set_random_state(1)
    changed = sum(not torch.equal(half(IMAGE), IMAGE) for _ in range(60))
    assert 15 < changed < 45
    with pytest.raises(ValueError, match=r"'prob' parameter of RandStrongView .* in \[0, 1\]"):
        RandStrongView(prob=2)


def test_dictionary_form_gives_all_keys_one_style_and_composes():
    transform = RandStrongViewd(("image", "other", "none"), allow_missing_keys=True)
    pipeline = Compose([transform]).set_random_state(5)
    item = {"image": IMAGE, "other": IMAGE.clone(), "label": IMAGE}
    styled = pipeline(item)
    assert torch.equal(styled["image"], styled["other"])
    assert styled["label"] is IMAGE
    assert item["image"] is IMAGE
    pipeline.set_random_state(5)
    assert torch.equal(pipeline(item)["image"], styled["image"])
    assert not torch.equal(pipeline(item)["image"], styled["image"])
