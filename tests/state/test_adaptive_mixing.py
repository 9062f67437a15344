# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The AdaMixBN policy: forward as mixing, gradient as for the rectified parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.functional import batch_statistics, rectified_affine
from grata_monai.functional.bn_statistics import Statistics
from grata_monai.state import AdaptiveMixing, MixedStatistics, apply_policy

IMAGE, OTHER = (image.double() for image in tiny_images(2))


def outputs(policy, images=IMAGE):
    network = tiny_network().double().eval()
    handle = apply_policy(network, policy)
    with torch.no_grad():
        found = network(images)
    handle.remove()
    return found


@pytest.mark.parametrize("rectify", [True, False])
def test_half_and_half_for_a_single_image(rectify):
    expected = outputs(MixedStatistics(source_share=0.5, unbiased=True))
    torch.testing.assert_close(outputs(AdaptiveMixing(rectify=rectify)), expected)
    batch = torch.cat([IMAGE, OTHER])
    plain = outputs(MixedStatistics(source_share=0.5, unbiased=True), batch)
    found = outputs(AdaptiveMixing(rectify=rectify), batch)
    assert not torch.allclose(found, plain)
    torch.testing.assert_close(found, outputs(AdaptiveMixing(rectify=not rectify), batch))


@pytest.mark.parametrize("affine", [True, False])
def test_constants_of_the_captured_image_hold_until_forgotten(affine, generator):
    layer = nn.BatchNorm2d(3, affine=affine).double()
    layer.running_mean.normal_(generator=generator)
    layer.running_var.uniform_(0.5, 2.0, generator=generator)
    policy = AdaptiveMixing()
    apply_policy(layer, policy)
    free = layer(OTHER).detach()
    with policy.capturing():
        layer(IMAGE)
    held = layer(OTHER).detach()
    weight, bias = torch.ones(3).double(), torch.zeros(3).double()
    source = Statistics(layer.running_mean, layer.running_var)
    current = batch_statistics(IMAGE, unbiased=True)
    rectified = rectified_affine(
        weight, bias, source=source, current=current, source_share=0.5, epsilon=1e-5
    )
    variance, mean = torch.var_mean(OTHER, dim=(0, 2, 3), keepdim=True)
    expected = (OTHER - mean) / (variance + 1e-5).sqrt()
    expected = expected * rectified[0].view(1, 3, 1, 1) + rectified[1].view(1, 3, 1, 1)
    torch.testing.assert_close(held, expected)
    assert not torch.allclose(held, free)
    policy.reset()
    assert torch.equal(layer(OTHER).detach(), free)


def test_the_gradient_is_that_of_the_rectified_parameters(generator):
    layer = nn.BatchNorm2d(3).double()
    layer.running_mean.normal_(generator=generator)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, -2.0, 1.0]))
    apply_policy(layer, AdaptiveMixing())
    direction = torch.randn(IMAGE.shape, generator=generator, dtype=torch.float64)
    (layer(IMAGE) * direction).sum().backward()
    variance, mean = torch.var_mean(IMAGE, dim=(0, 2, 3), keepdim=True)
    normal = (IMAGE - mean) / (variance + 1e-5).sqrt()
    torch.testing.assert_close(layer.weight.grad, (normal * direction).sum((0, 2, 3)))
    torch.testing.assert_close(layer.bias.grad, direction.sum((0, 2, 3)))


def test_an_exception_while_capturing_leaves_no_constants():
    layer = nn.BatchNorm2d(3).double()
    policy = AdaptiveMixing()
    apply_policy(layer, policy)
    free = layer(OTHER).detach()

    def fail():
        with policy.capturing():
            layer(IMAGE)
            raise KeyError("deliberate")

    with pytest.raises(KeyError, match="deliberate"):
        fail()
    assert torch.equal(layer(OTHER).detach(), free)


def test_one_value_per_channel_is_an_error():
    layer = nn.BatchNorm2d(3)
    apply_policy(layer, AdaptiveMixing())
    with pytest.raises(ValueError, match="one value per image and channel"):
        layer(torch.zeros(2, 3, 1, 1))
