# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Textbook and adapter are two routes to the same numbers, given the same random draws."""

from __future__ import annotations

import pytest
import torch

from grata_monai.adapters import ADAPTERS
from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.benchmark.textbook import TEXTBOOK, build_textbook
from grata_monai.benchmark.textbook.batch_norm import batch_norms
from grata_monai.benchmark.textbook.cotta import CoTTA
from tests.benchmark.textbook.draws import run_adapter, same_draws

NAMES = ["alpha_bn", "cotta", "diga", "dua", "grata", "medbn", "memo", "ptbn", "source", "tent"]
LARGE_STEPS = {
    "cotta": {"beta": 0.05, "views": 4},
    "dua": {"views": 5},
    "grata": {"beta": 0.05},
    "memo": {"beta": 0.5, "views": 5},
    "tent": {"beta": 0.05},
}
DEFAULT_VIEWS = {"cotta": 32, "dua": 8, "memo": 32}
WITHOUT_STEPS = {
    "alpha_bn": ("source", {}),
    "cotta": ("ptbn", {}),
    "diga": ("alpha_bn", {"source_share": 0.8}),
    "dua": ("source", {}),
    "grata": ("ptbn", {}),
    "medbn": ("ptbn", {}),
    "memo": ("alpha_bn", {"source_share": 16 / 17}),
    "ptbn": ("source", {}),
    "tent": ("ptbn", {}),
}


def double_images(size=(12, 12)):
    return [image.double() for image in tiny_images(3, size=size)]


def double_network(*, gain=1.0):
    """Return a tiny network; with a gain its predictions are surer, and about zero on average."""
    network = tiny_network().double().eval()
    if gain > 1:
        with torch.no_grad():
            network[-1].weight.mul_(gain)
            network[-1].bias -= network(double_images()[0]).mean(dim=(0, 2, 3))
    return network


def compare(name, network, images, *, seed=3, **settings):
    """Return the logits of the adapter after comparing the textbook's with them."""
    expected, seen = run_adapter(name, network, images, seed=seed, **settings)
    views = settings.get("views", DEFAULT_VIEWS.get(name))
    draws = same_draws(name, seed=seed, views=views, seen=seen)
    textbook = build_textbook(name, network, seed=seed, **settings, **draws)
    for image, logits in zip(images, expected, strict=True):
        found = textbook.step(image)
        assert not found.requires_grad
        torch.testing.assert_close(found, logits, rtol=1e-9, atol=1e-9)
    return expected


@pytest.mark.parametrize("size", [(12, 12), (8, 14)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_adapter_where_steps_are_large(name, size):
    network, images = double_network(gain=10.0), double_images(size)
    logits = compare(name, network, images, **LARGE_STEPS.get(name, {}))
    if name in WITHOUT_STEPS:
        other, settings = WITHOUT_STEPS[name]
        without, _ = run_adapter(other, network, images, **settings)
        assert (logits[-1] - without[-1]).abs().max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_adapter_by_default(name):
    compare(name, double_network(), double_images())


@pytest.mark.parametrize("name", NAMES)
def test_image_and_source_network_stay_as_they_are(name):
    network, image = double_network().train(), double_images()[0]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    given = image.clone()
    build_textbook(name, network).step(image)
    assert torch.equal(image, given)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


@pytest.mark.parametrize("name", ["cotta", "dua", "grata", "memo"])
def test_own_draws_follow_the_seed(name):
    network, image = double_network(), double_images()[0]
    settings = LARGE_STEPS[name]
    first, same, other = (
        build_textbook(name, network, seed=seed, **settings).step(image) for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", ["grata", "tent"])
def test_only_scale_and_shift_are_trainable(name):
    network = build_textbook(name, double_network()).network
    trainable = {n for n, p in network.named_parameters() if p.requires_grad}
    assert trainable == {"1.weight", "1.bias", "5.weight", "5.bias"}


@pytest.mark.parametrize("name", ["ptbn", "tent", "grata", "cotta"])
def test_running_statistics_stay_the_sources(name):
    network = double_network()
    textbook = build_textbook(name, network, **LARGE_STEPS.get(name, {}))
    textbook.step(double_images()[0])
    for layer, source in zip(batch_norms(textbook.network), batch_norms(network), strict=True):
        assert torch.equal(layer.running_mean, source.running_mean)
        assert torch.equal(layer.running_var, source.running_var)


def test_restored_elements_are_noticed(monkeypatch):
    monkeypatch.setattr(CoTTA, "restore", 0.0)
    with pytest.raises(AssertionError, match="not close"):
        compare("cotta", double_network(), double_images(), **LARGE_STEPS["cotta"])


def test_sure_source_leaves_the_teacher_alone(monkeypatch):
    monkeypatch.setattr(CoTTA, "threshold", 0.0)
    network, images = double_network(), double_images()
    expected, _ = run_adapter("cotta", network, images, threshold=0.0)
    textbook = build_textbook("cotta", network)
    for image, logits in zip(images, expected, strict=True):
        torch.testing.assert_close(textbook.step(image), logits, rtol=1e-9, atol=1e-9)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"one of alpha_bn, cotta.*Got 'gradient'"):
        build_textbook("gradient", double_network())


def test_every_method_of_the_package_has_a_textbook_form():
    assert list(TEXTBOOK) == sorted(ADAPTERS)
