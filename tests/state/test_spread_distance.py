# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Distance of an image's structures from the source's: by another route, and what it leaves out."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from grata_monai.adapters.checks import tiny_images
from grata_monai.state.spread_distance import noise_spread_distance, spread_distance

IMAGE = tiny_images(size=(9, 11))[0]


def network_of(*widths, seed=0, **norm):
    """Return a chain of 1x1 convolutions with batch normalization, random in everything."""
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for inputs, outputs in zip((3, *widths), widths, strict=False):
        layers += [nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs, **norm), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Conv2d(widths[-1], 2, 1))
    with torch.no_grad():
        for values in (*network.parameters(), *network.buffers()):
            if values.is_floating_point():
                values.copy_(torch.rand(values.shape, generator=generator) + 0.1)
    return network.eval()


def lower_median(values):
    return np.sort(values)[(len(values) - 1) // 2]


def by_hand(network, image):
    """Return the distance in double precision, from nothing but the layers' numbers."""
    values = image[0].double().numpy().reshape(3, -1)
    distances = []
    for layer in network:
        numbers = {name: tensor.double().numpy() for name, tensor in layer.state_dict().items()}
        if isinstance(layer, nn.Conv2d):
            weight = numbers["weight"][:, :, 0, 0]
            values = weight @ values + numbers["bias"][:, None]
        elif isinstance(layer, nn.BatchNorm2d):
            mean, variance = values.mean(axis=1), values.var(axis=1)
            if len(variance) >= 16 and values.shape[1] >= 64:
                ratios = np.log((variance + layer.eps) / (numbers["running_var"] + layer.eps))
                distances.append(lower_median(np.abs(ratios - lower_median(ratios))))
            values = (values - mean[:, None]) / np.sqrt(variance + layer.eps)[:, None]
            values = values * numbers["weight"][:, None] + numbers["bias"][:, None]
        else:
            values = np.maximum(values, 0)
    return np.mean(distances)


@pytest.mark.parametrize("widths", [(16,), (17, 24), (32, 15, 16)])
def test_as_by_hand(widths):
    network = network_of(*widths)
    for image in tiny_images(2, size=(9, 11)):
        expected = by_hand(network, image)
        assert expected > 0.01
        assert spread_distance(network, image) == pytest.approx(expected, rel=1e-4)


def test_brightness_and_contrast_are_no_structure():
    network = network_of(16, 16)
    changed = spread_distance(network, 0.3 * IMAGE + 0.5)
    assert changed == pytest.approx(spread_distance(network, IMAGE), abs=2e-3)
    other = spread_distance(network, IMAGE * torch.tensor([1.0, 0.1, 0.1])[:, None, None])
    assert abs(other - changed) > 0.01


def test_few_channels_or_positions_say_nothing():
    assert spread_distance(network_of(15), IMAGE) is None
    assert spread_distance(network_of(16), IMAGE) is not None
    assert spread_distance(network_of(16), IMAGE[..., :7]) is None  # 9 x 7 = 63
    assert spread_distance(network_of(16), IMAGE[..., :8, :8]) is not None
    assert spread_distance(network_of(16), IMAGE[..., :1, :1]) is None  # without a variance at all


def test_sources_without_statistics_cannot_be_asked():
    assert spread_distance(nn.Conv2d(3, 2, 1), IMAGE) is None
    assert spread_distance(network_of(16, track_running_stats=False), IMAGE) is None
    fresh = network_of(16)
    fresh[1].reset_running_stats()
    assert spread_distance(fresh, IMAGE) is None
    assert noise_spread_distance(fresh, IMAGE) is None


def test_three_dimensions():
    network = nn.Sequential(nn.Conv3d(3, 16, 1), nn.BatchNorm3d(16))
    network[1].running_var.mul_(2)
    volume = tiny_images(size=(4, 4, 4))[0]
    flat = nn.Sequential(nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16))
    weights = network.state_dict()
    flat.load_state_dict({**weights, "0.weight": weights["0.weight"].squeeze(-1)})
    expected = by_hand(flat, volume.reshape(1, 3, 8, 8))
    assert spread_distance(network, volume) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_left_behind(training):
    network = network_of(16, 17).train(training)
    before, stream = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    spread_distance(network, IMAGE)
    noise_spread_distance(network, IMAGE)
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(module.training is training for module in network.modules())
    assert not any("forward" in module.__dict__ for module in network.modules())


def test_also_an_error_leaves_nothing_behind():
    network = network_of(16)
    with pytest.raises(RuntimeError, match="channels"):
        spread_distance(network, IMAGE[:, :2])
    assert not any("forward" in module.__dict__ for module in network.modules())


def test_noise_is_uniform_and_remembered_per_shape_and_source():
    network, calls = network_of(16), []
    network.register_forward_hook(lambda *_: calls.append(1))
    noise = torch.rand(IMAGE.shape, generator=torch.Generator().manual_seed(0))
    expected = by_hand(network, noise)
    for _ in range(2):
        assert noise_spread_distance(network, IMAGE) == pytest.approx(expected, rel=1e-4)
    assert len(calls) == 1
    noise_spread_distance(network, IMAGE[..., :8])
    assert len(calls) == 2
    network[1].running_var.copy_(network[1].running_var.flip(0) ** 2)  # another source
    expected = by_hand(network, noise)
    assert noise_spread_distance(network, IMAGE) == pytest.approx(expected, rel=1e-4)


def test_memory_for_noise_is_bounded():
    from grata_monai.state import spread_distance as module

    network = network_of(16)
    for side in range(8, 40):
        noise_spread_distance(network, torch.zeros(1, 3, 8, side))
    assert len(module._noise_distances[network]) <= 16
