# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Batches of separate images against the images one by one, under every policy."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grata_monai.adapters.check_tools import tiny_images, tiny_network
from grata_monai.networks.separate_samples import (
    can_separate_samples,
    current_group_size,
    separate_samples,
)
from grata_monai.state import (
    BatchStatistics,
    MedianStatistics,
    MixedStatistics,
    MovingAverageStatistics,
    SourceStatistics,
    apply_policy,
)
from grata_monai.state.row_statistics import RowStatistics

POLICIES = [
    BatchStatistics(),
    MedianStatistics(),
    MedianStatistics(stride=2),
    MixedStatistics(source_share=0.3, unbiased=True),
    RowStatistics(),
    SourceStatistics(),
]
IMAGES = torch.cat(tiny_images(6, size=(9, 11)))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [1, 2, 6])
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_parts_of_a_batch_are_batches_of_their_own(policy, size, layout):
    network = tiny_network().eval().to(memory_format=layout)
    images = IMAGES.contiguous(memory_format=layout)
    apply_policy(network, policy)
    with torch.no_grad():
        expected = torch.cat([network(part) for part in images.split(size)])
        with separate_samples(network, size):
            assert current_group_size(network) == size
            found = network(images)
        assert current_group_size(network) is None
        whole = network(images)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    mixes = size < 6 and not isinstance(policy, SourceStatistics)
    assert torch.allclose(whole, expected, atol=1e-4) != mixes


def test_who_can():
    network = tiny_network().train()
    assert not can_separate_samples(network)
    assert can_separate_samples(network.eval())
    network[1].track_running_stats, network[1].running_mean = False, None
    assert not can_separate_samples(network)
    assert not can_separate_samples(tiny_network(batch_norm=False).eval())


class Own(BatchStatistics):
    def normalize(self, name, layer, activations):
        return super().normalize(name, layer, activations) + activations.mean()


@pytest.mark.parametrize("policy", [MovingAverageStatistics(), Own()])
def test_a_policy_that_does_not_say_so_is_not_trusted(policy):
    network = tiny_network().eval()
    apply_policy(network, policy)
    assert not can_separate_samples(network)
    with pytest.raises(ValueError, match="TinyNetwork cannot keep the samples of a batch apart"):
        with separate_samples(network):
            pass


def test_blocks_nest_and_end_with_an_exception():
    network = tiny_network().eval()
    apply_policy(network, BatchStatistics())
    with pytest.raises(KeyError), separate_samples(network, 2):
        with separate_samples(network, 3):
            assert current_group_size(network) == 3
        assert current_group_size(network) == 2
        raise KeyError
    assert current_group_size(network) is None
    with pytest.raises(ValueError, match="'size' parameter of separate_samples"):
        with separate_samples(network, 0):
            pass


def test_one_value_per_channel_has_no_variance():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    apply_policy(network, BatchStatistics())
    with separate_samples(network), pytest.raises(ValueError, match="one value per channel"):
        network(IMAGES[..., :1, :1])


def test_other_networks_are_left_alone():
    first, second = tiny_network().eval(), tiny_network().eval()
    for network in (first, second):
        apply_policy(network, BatchStatistics())
    expected = second(IMAGES)
    with separate_samples(first):
        assert torch.equal(second(IMAGES), expected)


def test_compiled_networks_notice():
    network = tiny_network().eval()
    apply_policy(network, BatchStatistics())
    together = network(IMAGES).detach()
    with separate_samples(network):
        apart = network(IMAGES).detach()
    torch.compiler.reset()  # what other tests compiled counts against the limit
    network.compile(backend="eager", fullgraph=True)
    for _ in range(2):
        torch.testing.assert_close(network(IMAGES).detach(), together)
        with separate_samples(network):
            torch.testing.assert_close(network(IMAGES).detach(), apart)
    assert not torch.allclose(together, apart, atol=1e-3)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_rows_take_the_place_of_scale_and_shift(layout):
    network = tiny_network().eval().double().to(memory_format=layout)
    images = IMAGES.double().contiguous(memory_format=layout)
    policy = RowStatistics()
    apply_policy(network, policy)
    parameters = {n: p for n, p in network.named_parameters() if n.split(".")[0] in {"1", "5"}}
    generator = torch.Generator().manual_seed(1)
    rows = {
        n: torch.randn(3, *p.shape, generator=generator, dtype=torch.float64).requires_grad_()
        for n, p in parameters.items()
    }
    expected, gradients = [], []
    for index, part in enumerate(images.split(2)):
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(rows[name][index])
        expected.append(network(part))
        loss = expected[-1].square().sum()
        gradients.append(torch.autograd.grad(loss, list(parameters.values())))
    with policy.using(parameters, rows):  # two samples of each of three images
        found = network(images)
    torch.testing.assert_close(found, torch.cat(expected))
    own = torch.autograd.grad(found.square().sum(), list(rows.values()))
    for ours, theirs in zip(own, zip(*gradients, strict=True), strict=True):
        torch.testing.assert_close(ours, torch.stack(theirs))
    torch.testing.assert_close(network(images[4:]), expected[-1])  # rows are gone again
