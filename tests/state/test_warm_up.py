# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Warm-up statistics: the published shares, the mixture by hand, and who counts images."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.state import apply_policy
from grata_monai.state.warm_up import WarmUpStatistics


@pytest.mark.parametrize(
    ("count", "share"),
    [(1, 0.833), (4, 0.714), (10, 0.613), (25, 0.5), (100, 0.333), (400, 0.2), (1000, 0.137)],
)
def test_share_of_the_current_image(count, share):
    policy = WarmUpStatistics()
    policy.load_state_dict({"count": count})
    assert policy.current_share == pytest.approx(share, abs=5e-4)


def layer_and_input(generator):
    layer = nn.BatchNorm2d(3).double().eval()
    with torch.no_grad():
        for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
            tensor.copy_(0.5 + torch.rand(3, generator=generator))
    return layer, torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)


def test_mixture_by_hand(generator):
    layer, a = layer_and_input(generator)
    policy = WarmUpStatistics(warm_up=2.0)
    for n in (1, 2, 3):
        m = 1 / (n**0.5 / 2 + 1)
        found = policy.normalize("layer", layer, a)
        for c in range(3):
            values = a[:, c]
            mu = m * values.mean() + (1 - m) * layer.running_mean[c]
            v = m * values.var() + (1 - m) * layer.running_var[c]
            expected = layer.weight[c] * (values - mu) / (v + layer.eps).sqrt() + layer.bias[c]
            torch.testing.assert_close(found[:, c], expected)


def test_statistics_have_no_gradient_in_the_output(generator):
    layer, a = layer_and_input(generator)
    a.requires_grad_()
    policy = WarmUpStatistics()
    policy.normalize("layer", layer, a).sum().backward()
    m = 1 / (1 / 5 + 1)
    v = m * a.detach().var(dim=(0, 2, 3)) + (1 - m) * layer.running_var
    slope = layer.weight / (v + layer.eps).sqrt()
    torch.testing.assert_close(a.grad, slope.detach().view(1, 3, 1, 1).expand_as(a))


def test_distance_by_hand_and_its_gradient(generator):
    layer, a = layer_and_input(generator)
    a.requires_grad_()
    policy = WarmUpStatistics()
    with policy.measuring() as distances:
        policy.normalize("layer", layer, a)
    m = 1 / (1 / 5 + 1)
    mean, deviation = a.mean(dim=(0, 2, 3)), a.std(dim=(0, 2, 3))
    mu = (m * mean + (1 - m) * layer.running_mean).detach()
    root = (m * deviation**2 + (1 - m) * layer.running_var).sqrt().detach()
    expected = (mu - mean).abs().mean() + (root - deviation).abs().mean()
    torch.testing.assert_close(distances[0], expected)
    found, wanted = (
        torch.autograd.grad(d, a, retain_graph=True)[0] for d in (*distances, expected)
    )
    torch.testing.assert_close(found, wanted)
    policy.normalize("layer", layer, a)
    assert len(distances) == 1


def test_a_constant_input_has_a_finite_gradient(generator):
    layer, a = layer_and_input(generator)
    a = torch.zeros_like(a).requires_grad_()
    policy = WarmUpStatistics()
    with policy.measuring() as distances:
        policy.normalize("layer", layer, a)
    distances[0].backward()
    assert torch.isfinite(a.grad).all()


def test_passes_count_as_images_unless_told():
    policy, network, image = WarmUpStatistics(), tiny_network().eval(), tiny_images()[0]
    handle = apply_policy(network, policy)
    with torch.no_grad():
        network(image)
        network(image)
        assert policy.count_ == 2
        with policy.same_image():
            network(image)
        assert policy.count_ == 2
        network(image)
    handle.remove()
    assert policy.state_dict() == {"count": 3}
    policy.reset()
    assert policy.count_ == 0
    for name, value in tiny_network().state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name


def test_one_value_per_channel_is_refused():
    policy = WarmUpStatistics()
    with pytest.raises(ValueError, match=r"'deep' sees one value per channel"):
        policy.normalize("deep", nn.BatchNorm2d(3), torch.zeros(1, 3, 1, 1))
    assert policy.count_ == 0


def test_bad_warm_up():
    with pytest.raises(ValueError, match="'warm_up'"):
        WarmUpStatistics(warm_up=0.0)
