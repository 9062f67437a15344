# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The strong view in numpy against the package's, operation by operation and as a whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from grata_monai.benchmark.textbook import StrongView, strong_view
from grata_monai.benchmark.textbook.views import CropsAndTurns, RandomView, weak_views
from grata_monai.functional.blur import gaussian_blur
from grata_monai.functional.intensity import (
    adjust_inverted_gamma,
    rescale_intensity,
    scale_brightness,
    scale_contrast,
)
from grata_monai.transforms import StrongView as OurView
from grata_monai.transforms.geometry import WEAK_VIEWS
from grata_monai.transforms.style import STYLE_OPERATIONS, StyleParameters

OPERATIONS = {
    "brightness": ("brightness", scale_brightness),
    "contrast": ("contrast", scale_contrast),
    "gamma": ("inverted_gamma", adjust_inverted_gamma),
    "noise": ("add_noise", None),
    "blur": ("blur", gaussian_blur),
}
DRAWS = 3000


@pytest.fixture
def image():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 3, 16, 20, generator=generator, dtype=torch.float64)


class Recorder:
    """Write down what the operations are given; apply them or not."""

    def __init__(self, monkeypatch, *, apply):
        self.calls = []
        for operation, (name, _) in OPERATIONS.items():
            plain = getattr(strong_view, name)
            wrapped = self._wrap(operation, plain if apply and operation != "noise" else None)
            monkeypatch.setattr(strong_view, name, wrapped)

    def _wrap(self, operation, plain):
        def wrapped(pixels, drawn, *rest):
            self.calls[-1][operation] = drawn
            return pixels if plain is None else plain(pixels, drawn, *rest)

        return wrapped

    def __call__(self, view, image):
        self.calls.append({})
        return view(image)


def package_parameters(calls):
    """Return drawn numbers as the package writes them; what was not drawn changes nothing."""

    def values(operation, nothing, width=3):
        rows = [call.get(operation, [nothing] * width) for call in calls]
        return torch.tensor(rows, dtype=torch.float64)

    applied = [[name in call and name != "noise" for name in STYLE_OPERATIONS] for call in calls]
    return StyleParameters(
        applied=torch.tensor(applied),
        brightness=values("brightness", 1.0),
        contrast=values("contrast", 1.0),
        gamma=values("gamma", 1.0),
        noise_std=torch.zeros(len(calls), dtype=torch.float64),
        noise_seed=torch.zeros(len(calls), dtype=torch.int64),
        blur_sigma=values("blur", 0.0),
    )


@pytest.mark.parametrize("operation", ["brightness", "contrast", "gamma", "blur"])
def test_operations_are_the_same(operation, image):
    factors = [0.6, 1.9, 0.0 if operation == "blur" else 1.2]
    name, ours = OPERATIONS[operation]
    found = getattr(strong_view, name)(image[0].numpy(), factors)
    expected = ours(image, torch.tensor([factors], dtype=torch.float64))
    np.testing.assert_allclose(found, expected[0].numpy(), rtol=1e-10, atol=1e-12)
    assert np.abs(found - image[0].numpy()).max() > 0.05


def test_rescaling_is_the_same_also_of_a_constant(image):
    for given in (3 * image - 1, torch.full_like(image, 0.3)):
        expected = rescale_intensity(given)[0].numpy()
        np.testing.assert_allclose(strong_view.rescale(given[0].numpy()), expected, atol=1e-12)


def test_noise_has_its_deviation():
    pixels = np.zeros((3, 100, 100), dtype=np.float32)
    noisy = strong_view.add_noise(pixels, 0.04, np.random.default_rng(0))
    assert noisy.dtype == np.float32
    assert noisy.std() == pytest.approx(0.04, rel=0.02)
    assert abs(noisy.mean()) < 0.001


def test_the_whole_is_the_same_for_the_same_draws(monkeypatch, image):
    recorder, view = Recorder(monkeypatch, apply=True), StrongView(0)
    found = torch.cat([recorder(view, image) for _ in range(40)])
    expected = OurView().apply(image.expand(40, -1, -1, -1), package_parameters(recorder.calls))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    assert {len(call) for call in recorder.calls} >= {1, 2, 3, 4, 5}


@pytest.fixture(scope="module")
def drawn():
    with pytest.MonkeyPatch.context() as monkeypatch:
        recorder, view = Recorder(monkeypatch, apply=False), StrongView(1)
        for _ in range(DRAWS):
            recorder(view, torch.rand(1, 3, 2, 2))
    return recorder.calls


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_are_as_frequent(operation, drawn):
    probability = 0.75 if operation in {"brightness", "contrast", "gamma"} else 0.5
    count = sum(operation in call for call in drawn)
    spread = math.sqrt(DRAWS * probability * (1 - probability))
    assert abs(count - DRAWS * probability) < 4 * spread


@pytest.mark.parametrize("operation", OPERATIONS)
def test_numbers_are_drawn_alike(operation, drawn):
    ours = OurView().draw((DRAWS, 3), torch.Generator().manual_seed(2))
    field = {"noise": "noise_std", "blur": "blur_sigma"}.get(operation, operation)
    expected = getattr(ours, field).flatten().numpy()
    found = np.ravel([call[operation] for call in drawn if operation in call])
    assert ks_2samp(found, expected).pvalue > 0.01
    assert (found.min(), found.max()) == pytest.approx((expected.min(), expected.max()), abs=0.01)


def test_channels_have_factors_of_their_own(drawn):
    for operation in ("brightness", "contrast", "gamma"):
        factors = np.array([call[operation] for call in drawn if operation in call])
        assert np.abs(np.corrcoef(factors.T) - np.eye(3)).max() < 0.1


def test_view_is_a_new_tensor_like_the_image():
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    given = image.clone()
    views = [StrongView(0)(image) for _ in range(2)]
    assert torch.equal(*views)
    assert views[0].dtype == torch.float32
    assert views[0].shape == image.shape
    assert (views[0].min(), views[0].max()) == (0.0, 1.0)
    assert torch.equal(image, given)


def test_weak_views_are_the_packages(image):
    found = weak_views(image)
    assert len(found) == len(WEAK_VIEWS)
    for (view, put_back), ours in zip(found, WEAK_VIEWS, strict=True):
        assert torch.equal(view, ours.apply(image))
        assert torch.equal(put_back(view), image)


def test_random_views_are_all_six_and_put_back(monkeypatch, image):
    monkeypatch.setattr(StrongView, "change", lambda self, pixels: pixels)
    draw, allowed = RandomView(0), [view.apply(image) for view in WEAK_VIEWS]
    counts = [0] * len(allowed)
    for _ in range(300):
        view, put_back = draw(image)
        assert torch.equal(put_back(view), image)
        counts[[torch.equal(view, one) for one in allowed].index(True)] += 1
    assert min(counts) > 25


@pytest.mark.parametrize(("size", "turns"), [((8, 8), (0, 1, 2, 3)), ((8, 9), (0, 2))])
def test_batch_of_crops_and_turns_holds_all_there_can_be(size, turns):
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    padded = np.pad(image[0].numpy(), [(0, 0), (1, 1), (1, 1)])
    crops = [padded[:, i : i + size[0], j : j + size[1]] for i in range(3) for j in range(3)]
    allowed = {
        np.rot90(flipped, k, axes=(1, 2)).tobytes()
        for crop in crops
        for flipped in (crop, crop[:, :, ::-1])
        for k in turns
    }
    batch = CropsAndTurns(600, seed=0)(image)
    drawn = {view.numpy().tobytes() for view in batch}
    assert batch.shape == (600, 3, *size)
    assert drawn <= allowed
    assert len(drawn) > 0.95 * len(allowed) == 0.95 * 18 * len(turns)
