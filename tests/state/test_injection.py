# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Changed outputs, the layer of the bottleneck, and distances to the source's statistics."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.networks import ResUNet34, WithHeads
from grata_monai.state import apply_policy
from grata_monai.state.injection import find_bottleneck_layer, replaced_output
from grata_monai.state.source_distance import MeasuredSourceStatistics

IMAGES = tiny_images()[0]


def hooks(network):
    return sum(len(module._forward_hooks) for module in network.modules())


def test_an_output_is_replaced_during_the_block_only():
    network = nn.Sequential(nn.Identity(), nn.Identity())
    with replaced_output(network[0], lambda output: 2 * output):
        assert torch.equal(network(IMAGES), 2 * IMAGES)
    assert torch.equal(network(IMAGES), IMAGES)
    with pytest.raises(KeyError), replaced_output(network[0], lambda output: {}[0]):
        network(IMAGES)
    assert hooks(network) == 0


def test_the_outermost_layer_that_makes_the_bottleneck():
    network = ResUNet34().eval()
    images = torch.zeros(1, 3, 32, 32)
    assert find_bottleneck_layer(network, images) == "encoder.layer4"
    assert find_bottleneck_layer(WithHeads(network, {}), images) == "network.encoder.layer4"
    assert hooks(network) == 0


def test_in_a_chain_it_is_the_layer_before_the_last():
    network = tiny_network().eval()
    name = find_bottleneck_layer(network, IMAGES)
    with replaced_output(network.get_submodule(name), torch.zeros_like):
        assert torch.equal(network(IMAGES), network[-1](torch.zeros(1, 6, 12, 12)))


def test_networks_without_such_a_layer():
    with pytest.raises(ValueError, match="Sequential has no method bottleneck"):
        find_bottleneck_layer(nn.Sequential(nn.ReLU()), IMAGES)

    class Functional(nn.Sequential):
        def bottleneck(self, images):
            return 2 * self(images)

    network = Functional(nn.ReLU())
    with pytest.raises(ValueError, match="No module of Functional returns"):
        find_bottleneck_layer(network, IMAGES)
    assert hooks(network) == 0


def test_distances_to_the_source_by_hand():
    network = tiny_network().double().eval()
    images = IMAGES.double()
    policy = MeasuredSourceStatistics(variance_weight=0.25)
    with torch.no_grad():
        plain = network(images)
    handle = apply_policy(network, policy)
    with policy.measuring() as distances:
        logits = network(images)
    handle.remove()
    torch.testing.assert_close(logits, plain)
    expected, features = [], images
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            values = features.transpose(0, 1).flatten(1)
            mean, variance = values.mean(1), values.var(1, correction=0)
            means = (mean - layer.running_mean).abs().mean()
            expected.append(means + 0.25 * (variance - layer.running_var).abs().mean())
        features = layer(features)
    torch.testing.assert_close(torch.stack(distances), torch.stack(expected))
    assert all(distance.requires_grad for distance in distances)


def test_nothing_is_measured_unasked():
    policy = MeasuredSourceStatistics()
    layer = nn.BatchNorm2d(3)
    with policy.measuring() as distances:
        pass
    policy.normalize("layer", layer, IMAGES)
    assert distances == []
    with pytest.raises(ValueError, match="'variance_weight'"):
        MeasuredSourceStatistics(variance_weight=-1.0)
