# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Distance of activations from the source's statistics: by hand, over layers, without traces."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.state.layer_distance import measuring_layer_distances


def norm(mean, variance, **settings):
    layer = nn.BatchNorm2d(len(mean), eps=0.0, **settings).eval()
    layer.running_mean.copy_(torch.tensor(mean))
    layer.running_var.copy_(torch.tensor(variance))
    return layer


def distance(network, images):
    with torch.no_grad(), measuring_layer_distances(network) as measured:
        network(images)
    return measured.mean()


def test_one_layer_by_hand():
    network = nn.Sequential(norm([1.0, 2.0], [4.0, 0.25]))
    images = torch.zeros(2, 2, 1, 2)
    images[0, 0] = torch.tensor([2.0, 4.0])  # mean 3: (3 - 1)² / 4 = 1; other: 2² / 0.25 = 16
    images[1] = torch.tensor([1.0, 2.0])[:, None, None]  # the source itself
    torch.testing.assert_close(distance(network, images), torch.tensor([8.5, 0.0]))


def test_layers_count_alike_whatever_their_width():
    first, second = norm([0.0], [1.0]), norm([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
    widen = nn.Conv2d(1, 3, 1, bias=False)
    with torch.no_grad():
        widen.weight.copy_(torch.tensor([1.0, 2.0, 0.0]).view(3, 1, 1, 1))
    images = torch.full((1, 1, 4, 4), 3.0)  # 9, and (9 + 36 + 0) / 3 = 15
    found = distance(nn.Sequential(first, widen, second), images)
    torch.testing.assert_close(found, torch.tensor([12.0]))


def test_the_small_number_of_the_layer_is_part_of_its_variance():
    layer = norm([0.0], [0.5])
    layer.eps = 0.5
    found = distance(nn.Sequential(layer), torch.full((1, 1, 2, 2), 3.0))
    torch.testing.assert_close(found, torch.tensor([9.0]))


@pytest.mark.parametrize("dims", [2, 3])
def test_images_of_a_batch_are_apart(dims):
    images = tiny_images(3, size=(6, 6, 6)[:dims])
    network = tiny_network(dims).eval()
    alone = torch.cat([distance(network, image) for image in images])
    torch.testing.assert_close(distance(network, torch.cat(images)), alone)
    assert len(set(alone.tolist())) == 3


def test_layers_without_memory_of_the_source_are_left_out():
    network = nn.Sequential(norm([0.0], [1.0]), nn.BatchNorm2d(1, track_running_stats=False))
    images = torch.full((1, 1, 2, 2), 2.0)
    torch.testing.assert_close(distance(network, images), torch.tensor([4.0]))
    with pytest.raises(RuntimeError, match="No batch-normalization layer was called"):
        distance(network[1:], images)


def test_nothing_was_called():
    with measuring_layer_distances(tiny_network()) as measured:
        pass
    with pytest.raises(RuntimeError, match="No batch-normalization layer was called"):
        measured.mean()


def test_no_hook_outlives_the_block():
    network = tiny_network()

    def fail():
        with measuring_layer_distances(network):
            assert sum(len(m._forward_pre_hooks) for m in network.modules()) == 2
            raise KeyError("deliberate")

    with pytest.raises(KeyError, match="deliberate"):
        fail()
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_it_only_watches():
    network, (image,) = tiny_network().eval(), tiny_images()
    expected = network(image)
    with measuring_layer_distances(network) as measured:
        found = network(image)
    assert torch.equal(found, expected)
    assert not measured.mean().requires_grad
    for name, value in tiny_network().state_dict().items():
        assert torch.equal(network.state_dict()[name], value)
