# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Captured layers: what they saw, in order, and no hook left behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.networks import ResUNet34
from grata_monai.state import capture, capture_classifier_input


def hooks(network):
    return [
        len(values)
        for module in network.modules()
        for name, values in vars(module).items()
        if name.endswith("_hooks")
    ]


@pytest.mark.parametrize("side", ["input", "output"])
def test_capture_sees_each_call(side):
    layer = nn.Conv2d(3, 2, 1)
    network = nn.Sequential(layer, nn.Sigmoid())
    first, second = tiny_images(2)
    before = hooks(network)
    with capture(layer, side) as found:
        network(first)
        network(second)
    network(first)
    expected = [first, second] if side == "input" else [layer(first), layer(second)]
    assert len(found) == 2
    assert all(map(torch.equal, found, expected))
    assert hooks(network) == before


def test_captured_tensors_keep_their_graph():
    layer = nn.Conv2d(3, 2, 1)
    with capture(layer) as found:
        layer(tiny_images()[0])
    found[0].sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.parametrize("context", [capture, capture_classifier_input])
def test_hooks_are_removed_after_an_exception(context):
    network = tiny_network()
    before = hooks(network)
    with pytest.raises(KeyError):
        with context(network):
            assert hooks(network) != before
            raise KeyError
    assert hooks(network) == before


def test_what_is_no_tensor_is_refused():
    class Pair(nn.Module):
        def forward(self, images):
            return images, images

    with pytest.raises(TypeError, match="output of Pair must be a tensor"):
        with capture(pair := Pair()):
            pair(tiny_images()[0])
    with pytest.raises(ValueError, match="side"):
        with capture(pair, "inside"):
            pass


def test_classifier_input_is_what_the_last_convolution_got():
    network = tiny_network().eval()
    with capture_classifier_input(network) as seen:
        logits = network(tiny_images()[0])
    assert torch.equal(network[-1](seen.features), logits)


def test_the_last_convolution_is_the_one_called_last_not_the_one_written_last():
    class Reversed(nn.Module):
        def __init__(self):
            super().__init__()
            self.classifier = nn.ConvTranspose2d(4, 2, 2, stride=2)
            self.stem = nn.Conv2d(3, 4, 1)

        def forward(self, images):
            return self.classifier(self.stem(images))

    network = Reversed()
    with capture_classifier_input(network) as seen:
        network(tiny_images()[0])
    assert torch.equal(seen.features, network.stem(tiny_images()[0]))


def test_features_of_the_papers_network():
    network = ResUNet34().eval()
    images = tiny_images(size=(32, 32))[0]
    with torch.no_grad(), capture_classifier_input(network) as seen:
        logits = network(images)
        assert seen.features.shape == (1, 32, 32, 32)
        assert torch.equal(network.output(seen.features), logits)
    assert bool((seen.features >= 0).all())


def test_networks_without_features_are_refused():
    with pytest.raises(ValueError, match="Linear has no convolution"):
        with capture_classifier_input(nn.Linear(3, 2)):
            pass
    with capture_classifier_input(nn.Conv2d(3, 2, 1)) as seen:
        with pytest.raises(RuntimeError, match="No convolution was called"):
            _ = seen.features
