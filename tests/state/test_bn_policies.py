# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Statistics policies: exact, deaf to modes, and gone without a trace."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.state import (
    BatchStatistics,
    MedianStatistics,
    MixedStatistics,
    MovingAverageStatistics,
    SourceStatistics,
    apply_policy,
)

POLICIES = [
    SourceStatistics(),
    BatchStatistics(),
    MixedStatistics(source_share=0.3),
    MovingAverageStatistics(momentum=0.2),
    MedianStatistics(),
]
IMAGES = tiny_images()[0]


def without_dropout(network):
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


@torch.no_grad()
def predict(policy, network, images=IMAGES):
    handle = apply_policy(network, policy)
    logits = network(images)
    handle.remove()
    return logits


@pytest.fixture
def network():
    return without_dropout(tiny_network())


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: type(p).__name__)
def test_modes_do_not_matter_and_buffers_stay(policy, network):
    before = copy.deepcopy(network.state_dict())
    in_training = predict(policy, network.train())
    in_evaluation = predict(policy, network.eval())
    assert torch.equal(in_training, in_evaluation)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: type(p).__name__)
def test_removal_leaves_no_trace(policy, network):
    before = {name: dict(vars(module)) for name, module in network.named_modules()}
    handle = apply_policy(network, policy)
    assert "forward" in vars(network[1])
    handle.remove()
    handle.remove()
    assert {name: dict(vars(module)) for name, module in network.named_modules()} == before


def test_source_is_evaluation_mode(network):
    with torch.no_grad():
        expected = network.eval()(IMAGES)
    assert torch.equal(predict(SourceStatistics(), network.train()), expected)


def test_batch_is_training_mode(network):
    reference = copy.deepcopy(network).train()
    with torch.no_grad():
        expected = reference(IMAGES)
    assert torch.equal(predict(BatchStatistics(), network), expected)


@pytest.mark.parametrize(("share", "same"), [(1.0, SourceStatistics), (0.0, BatchStatistics)])
def test_mixture_ends(share, same, network):
    mixed = predict(MixedStatistics(source_share=share), network)
    torch.testing.assert_close(mixed, predict(same(), network))


def test_mixture_of_one_layer_by_hand():
    layer = nn.BatchNorm2d(1).eval()
    layer.running_mean.fill_(1.0)
    layer.running_var.fill_(4.0)
    images = torch.tensor([0.0, 2.0, 4.0, 6.0]).view(1, 1, 2, 2)
    mean, variance = 0.25 * 1 + 0.75 * 3, 0.25 * 4 + 0.75 * 5
    expected = (images - mean) / (variance + layer.eps) ** 0.5
    torch.testing.assert_close(predict(MixedStatistics(source_share=0.25), layer, images), expected)


def test_median_of_one_layer_by_hand():
    layer = nn.BatchNorm2d(1)
    images = torch.tensor([0.0, 1.0, 2.0, 9.0]).view(1, 1, 2, 2)
    expected = (images - 1.0) / ((1 + 0 + 1 + 64) / 4 + layer.eps) ** 0.5
    torch.testing.assert_close(predict(MedianStatistics(), layer, images), expected)


def test_moving_average_follows_torch_momentum():
    layer = nn.BatchNorm2d(3, momentum=0.2)
    reference = copy.deepcopy(layer)
    policy = MovingAverageStatistics(momentum=0.2)
    handle = apply_policy(layer, policy)
    for images in tiny_images(3, seed=3):
        with policy.updating():
            output = layer(images)
        torch.testing.assert_close(output, reference.train()(images))
    torch.testing.assert_close(layer(IMAGES), reference.eval()(IMAGES))
    assert torch.equal(layer.running_mean, torch.zeros(3))
    saved = policy.state_dict()
    policy.reset()
    torch.testing.assert_close(layer(IMAGES), nn.BatchNorm2d(3).eval()(IMAGES))
    policy.load_state_dict(saved)
    torch.testing.assert_close(layer(IMAGES), reference.eval()(IMAGES))
    handle.remove()


def test_gradient_flows_through_current_statistics():
    layer = nn.BatchNorm2d(1)
    images = torch.rand(1, 1, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    layer.double()
    for policy in (BatchStatistics(), MixedStatistics(source_share=0.4)):
        handle = apply_policy(layer, policy)
        assert torch.autograd.gradcheck(layer, images.clone().requires_grad_())
        handle.remove()


def test_a_deepcopy_under_a_policy_is_independent(network):
    handle = apply_policy(network, BatchStatistics())
    twin = copy.deepcopy(network)
    with torch.no_grad():
        expected = network(IMAGES)
        network[1].weight.zero_()
        assert torch.equal(twin(IMAGES), expected)
    handle.remove()


def test_a_network_without_batch_norm_is_refused():
    with pytest.raises(ValueError, match=r"no batch-normalization layer.*norm='batch'"):
        apply_policy(tiny_network(batch_norm=False), BatchStatistics())


def test_source_statistics_must_exist():
    layer = nn.BatchNorm2d(3, track_running_stats=False)
    apply_policy(layer, BatchStatistics()).remove()
    with pytest.raises(ValueError, match="track_running_stats=False"):
        apply_policy(layer, MixedStatistics())


def test_one_value_per_channel_is_refused():
    layer = nn.BatchNorm2d(3)
    apply_policy(layer, BatchStatistics())
    with pytest.raises(ValueError, match="one value per channel"):
        layer(torch.rand(1, 3, 1, 1))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), "half"])
def test_bad_share(share):
    with pytest.raises(ValueError, match="source_share"):
        MixedStatistics(source_share=share)


def test_a_forward_that_was_there_before_comes_back(network):
    def own(activations):
        return activations

    network[1].forward = own
    apply_policy(network, BatchStatistics()).remove()
    assert vars(network[1])["forward"] is own


def test_two_policies_at_once_are_refused(network):
    handle = apply_policy(network, BatchStatistics())
    with pytest.raises(RuntimeError, match="under another statistics policy"):
        apply_policy(network, SourceStatistics())
    handle.remove()
    apply_policy(network, SourceStatistics()).remove()


def test_no_source_is_the_layer_s_own_training_mode_in_half_precision_too(generator):
    layer = nn.BatchNorm2d(4)
    images = (100.0 + torch.randn(1, 4, 16, 16, generator=generator)).bfloat16()
    expected = layer.train()(images)
    mixed = MixedStatistics(source_share=0.0).normalize("", layer, images)
    torch.testing.assert_close(mixed, expected, rtol=0, atol=0.02)
