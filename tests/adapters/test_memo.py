# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""MEMO's summed gradient against one graph over all views, and its settings."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from grata_monai.adapters import MEMO, memo
from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.transforms.random_view import RandomView

TURNS = {"rot90": 1, "rot180": 2, "rot270": 3}
FLIPS = {"hflip": [3], "vflip": [2]}


def put_back(name, values):
    if name in TURNS:
        return torch.rot90(values, -TURNS[name], (2, 3))
    return values.flip(FLIPS[name]) if name in FLIPS else values


def forward(network, images, share):
    """Run a chain of layers with ``share`` of the source's statistics."""
    a = images
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            mean, variance = a.mean(dim=(0, 2, 3)), a.var(dim=(0, 2, 3), correction=0)
            mean = share * layer.running_mean + (1 - share) * mean
            variance = share * layer.running_var + (1 - share) * variance
            mean, variance, scale, shift = (
                t.view(1, -1, 1, 1) for t in (mean, variance, layer.weight, layer.bias)
            )
            a = scale * (a - mean) / (variance + layer.eps).sqrt() + shift
        elif not isinstance(layer, nn.Dropout):
            a = layer(a)
    return a


def one_graph(network, image, *, beta, views, share, seed=0):
    """Return loss and logits of one step; the network is changed."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [RandomView().draw(image, generator) for _ in range(views)]
    p = torch.stack(
        [
            put_back(v.geometry.name, torch.sigmoid(forward(network, v.apply(image), share)))
            for v in drawn
        ]
    ).mean(0)
    loss = -(p * p.log() + (1 - p) * (1 - p).log()).mean()
    loss.backward()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= beta * parameter.grad
            parameter.grad = None
        return loss.item(), forward(network, image, share)


@pytest.mark.parametrize(("prior", "size"), [(16, (12, 12)), (1, (8, 14))])
def test_equals_one_graph_over_all_views(prior, size):
    image = tiny_images(size=size)[0].double()
    expected_network = tiny_network().double()
    loss, logits = one_graph(expected_network, image, beta=0.5, views=5, share=prior / (prior + 1))
    network = tiny_network().double()
    with MEMO(beta=0.5, views=5, prior_strength=prior).bound(network) as adapter:
        torch.testing.assert_close(adapter.adapt(image), logits, rtol=1e-7, atol=1e-9)
        assert adapter.trace_["loss"] == pytest.approx(loss, rel=1e-9)
        for found, wanted in zip(network.parameters(), expected_network.parameters(), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-9)


def test_continual_steps_follow_one_another():
    images = [image.double() for image in tiny_images(2)]
    expected_network, network = tiny_network().double(), tiny_network().double()
    one_graph(expected_network, images[0], beta=0.5, views=1, share=16 / 17)
    after_first = copy.deepcopy(expected_network)
    with MEMO(beta=0.5, views=1, life_cycle="per_dataset").bound(network) as adapter:
        adapter.adapt(images[0])
        for found, wanted in zip(network.parameters(), after_first.parameters(), strict=True):
            torch.testing.assert_close(found, wanted)
        adapter.adapt(images[1])
        assert not torch.equal(network[0].weight, after_first[0].weight)


def test_the_default_starts_each_image_at_the_source():
    images = tiny_images(2)
    with MEMO(beta=0.5, views=2).bound(tiny_network()) as adapter:
        alone = adapter.adapt(images[1])
        adapter.adapt(images[0])
        assert torch.equal(adapter.adapt(images[1]), alone)
        assert adapter.life_cycle == "per_image"


def test_without_graphs_it_costs_two_passes_for_each_view_and_one_to_predict():
    network, graphs = tiny_network(), []
    network.register_forward_hook(lambda *_: graphs.append(torch.is_grad_enabled()))
    with MEMO(views=3, graphs=0).bound(network) as adapter:
        adapter.adapt(tiny_images()[0])
    assert graphs == [False] * 3 + [True] * 3 + [False]


def test_all_parameters_are_adapted():
    network = tiny_network()
    with MEMO(beta=0.5, views=2).bound(network) as adapter:
        adapter.adapt(tiny_images()[0])
        assert set(adapter.adapted_parameters) == {n for n, _ in network.named_parameters()}
        moved = [
            not torch.equal(a, b)
            for a, b in zip(network.parameters(), tiny_network().parameters(), strict=True)
        ]
        assert all(moved)


def test_the_entropy_falls():
    image = tiny_images()[0]
    losses = []
    with MEMO(beta=2.0, views=6, life_cycle="never").bound(tiny_network()) as adapter:
        for _ in range(12):
            adapter.adapt(image)
            losses.append(adapter.trace_["loss"])
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("settings", [{"views": 0}, {"prior_strength": -1.0}, {"beta": -1.0}])
def test_bad_settings(settings):
    with pytest.raises(ValueError, match=f"'{next(iter(settings))}' parameter of MEMO"):
        MEMO(**settings)


def passes_and_result(monkeypatch, *, graphs, free=0, images=2):
    """Return how often the network ran, and parameters and logits after some images."""
    monkeypatch.setattr(memo, "free_memory", lambda device: free)
    network, calls = tiny_network(), []
    network[0].register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    with MEMO(beta=0.05, views=6, graphs=graphs, life_cycle="never").bound(network) as adapter:
        logits = [adapter.adapt(image) for image in tiny_images(images)]
        values = [parameter.detach().clone() for parameter in network.parameters()]
    return len(calls) / images, [*logits, *values]


def test_kept_graphs_save_passes_and_change_no_bit(monkeypatch):
    thrifty, expected = passes_and_result(monkeypatch, graphs=0)
    assert thrifty == 2 * 6 + 1
    for graphs, passes in ((2, 6 + 4 + 1), (6, 6 + 1), (9, 6 + 1)):
        found, values = passes_and_result(monkeypatch, graphs=graphs)
        assert found == passes
        assert all(torch.equal(a, b) for a, b in zip(values, expected, strict=True))


def test_as_many_graphs_are_kept_as_half_of_the_free_memory_holds(monkeypatch):
    def in_passes(free):
        passes, values = passes_and_result(monkeypatch, graphs=None, free=free, images=1)
        assert all(torch.equal(a, b) for a, b in zip(values, expected, strict=True))
        return passes

    _, expected = passes_and_result(monkeypatch, graphs=0, images=1)
    # The first one is kept in any case: it shows how large they are.
    most = 6 + 5 + 1
    passes = [in_passes(20_000 * room) for room in range(100)]
    assert passes == sorted(passes, reverse=True)
    assert {most, most - 1, most - 2, most - 3, most - 4, 6 + 1} == set(passes)


def test_the_size_of_a_graph():
    layer = nn.Conv2d(3, 5, 3)
    images = torch.rand(2, 3, 8, 8)
    size = memo._Size(layer)
    with size:
        torch.sigmoid(layer(images)).exp()
    activations = 2 * 5 * 6 * 6
    assert size.bytes == 4 * (images.numel() + 2 * activations)  # sigmoid and exp keep results
