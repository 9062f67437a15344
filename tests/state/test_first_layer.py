# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The source's colors from the first layer: known changes are undone, minima are minima."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from grata_monai.adapters.checks import tiny_network
from grata_monai.state.first_layer import FirstLayer

SCALE = torch.tensor([0.5, 1.3, 2.0], dtype=torch.float64)
SHIFT = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)


def picture(generator, *, size=(24, 24)):
    """Return a source image whose channels have much and little in common."""
    noise = torch.rand(1, 3, *size, generator=generator, dtype=torch.float64)
    return 0.6 * noise + 0.4 * noise[:, :1]


def network_of(image, generator, *, filters=32, dims=2, **settings):
    """Return a network whose first layer remembers one image, by torch's own training pass."""
    convolution = (nn.Conv2d if dims == 2 else nn.Conv3d)(3, filters, 3, **settings).double()
    with torch.no_grad():
        for parameter in convolution.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    norm = nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d
    network = nn.Sequential(convolution, norm(filters, momentum=None).double(), nn.ReLU())
    with torch.no_grad():
        network.train()(image)
    return network.eval()


def changed(image):
    """Return the image that SCALE and SHIFT bring back."""
    shape = (1, 3, *[1] * (image.ndim - 2))
    return (image - SHIFT.view(shape)) / SCALE.view(shape)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("dims", "size"), [(2, (24, 24)), (3, (9, 8, 10))])
def test_a_known_change_is_undone(generator, bias, dims, size):
    image = picture(generator, size=size)
    layer = FirstLayer(network_of(image, generator, dims=dims, bias=bias))
    found = layer.fit(changed(image), ridge=0.0)
    torch.testing.assert_close(found.scale, SCALE, rtol=2e-3, atol=0)
    torch.testing.assert_close(found.shift, SHIFT, rtol=0, atol=2e-3)
    nothing = layer.fit(image, ridge=0.0)
    torch.testing.assert_close(nothing.scale, torch.ones_like(SCALE), rtol=2e-3, atol=0)
    torch.testing.assert_close(nothing.shift, torch.zeros_like(SHIFT), rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    "settings", [{"padding": 1, "stride": 2}, {"padding": "same"}, {"dilation": 2, "padding": 1}]
)
def test_padding_stride_and_dilation(generator, settings):
    """A scale is exact; a shift makes edges of its own, which Σ does not know."""
    image = picture(generator, size=(32, 32))
    layer = FirstLayer(network_of(image, generator, **settings))
    found = layer.fit(image / SCALE.view(1, 3, 1, 1), ridge=0.0)
    torch.testing.assert_close(found.scale, SCALE, rtol=3e-3, atol=0)
    torch.testing.assert_close(found.shift, torch.zeros_like(SHIFT), rtol=0, atol=3e-3)
    found = layer.fit(changed(image), ridge=0.0)
    torch.testing.assert_close(found.scale, SCALE, rtol=0.15, atol=0)
    torch.testing.assert_close(found.shift, SHIFT, rtol=0, atol=0.1)


def test_the_result_is_a_minimum_of_the_formula(generator):
    """The formula by convolving the changed image itself, in double precision; its gradient."""
    network = network_of(picture(generator), generator, filters=8)
    convolution, norm = network[0], network[1]
    image = 0.5 * picture(generator) ** 2
    ridge, spread = 0.1, 0.9

    def objective(logarithm, shift):
        new = image * logarithm.exp().view(1, 3, 1, 1) + shift.view(1, 3, 1, 1)
        responses = convolution(new)[0].flatten(1)
        variance = norm.running_var + norm.eps
        means = (responses.mean(1) - norm.running_mean) ** 2 / variance
        deviations = (responses.std(1, correction=0) - spread * variance.sqrt()) ** 2 / variance
        penalty = logarithm.square().sum() + shift.square().sum()
        return (means + deviations).mean() + ridge * penalty

    found = FirstLayer(network).fit(image, ridge=ridge, spread=spread)
    unknowns = [found.scale.log().requires_grad_(), found.shift.requires_grad_()]
    start = [torch.zeros(3, dtype=torch.float64).requires_grad_() for _ in range(2)]
    gradient = torch.cat(torch.autograd.grad(objective(*unknowns), unknowns))
    before = torch.cat(torch.autograd.grad(objective(*start), start))
    assert gradient.norm() < 1e-4 * before.norm()
    assert objective(*unknowns) < 0.5 * objective(*start)


def test_a_large_ridge_changes_nothing(generator):
    image = picture(generator)
    found = FirstLayer(network_of(image, generator)).fit(changed(image), ridge=1e8)
    torch.testing.assert_close(found.scale, torch.ones_like(SCALE), rtol=1e-4, atol=0)
    torch.testing.assert_close(found.shift, torch.zeros_like(SHIFT), rtol=0, atol=1e-4)


@pytest.mark.parametrize("spread", [1.0, 0.8])
def test_batch_normalization_first_by_hand(generator, spread):
    mean, deviation = torch.tensor([0.2, 0.5, 0.8]), torch.tensor([0.1, 0.2, 0.05])
    norm = nn.BatchNorm2d(3, eps=0.0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(deviation**2)
    image = torch.rand(1, 3, 10, 12, generator=generator)
    scale = spread * deviation / image.std((0, 2, 3), correction=0)
    found = FirstLayer(nn.Sequential(norm, nn.Conv2d(3, 4, 3))).fit(image, ridge=0.0, spread=spread)
    torch.testing.assert_close(found.scale, scale, rtol=1e-3, atol=0)
    torch.testing.assert_close(found.shift, mean - scale * image.mean((0, 2, 3)), rtol=0, atol=1e-3)


def test_a_constant_image_is_finite_and_untouched(generator):
    image = torch.full((1, 3, 12, 12), 0.4)
    kept = image.clone()
    found = FirstLayer(tiny_network()).fit(image)
    assert torch.equal(image, kept)
    for values in found:
        assert values.shape == (3,)
        assert values.dtype == image.dtype
        assert not values.requires_grad
        assert bool(torch.isfinite(values).all())


def test_later_changes_of_the_weights_do_not_matter(generator):
    image = picture(generator)
    network = network_of(image, generator)
    layer = FirstLayer(network)
    expected = layer.fit(changed(image))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(-3.0)
    assert all(map(torch.equal, layer.fit(changed(image)), expected))


@pytest.mark.parametrize(
    "layers",
    [
        [],
        [nn.Conv2d(3, 4, 3), nn.ReLU()],
        [nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)],
        [nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)],
        [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)],
        [nn.BatchNorm2d(3, track_running_stats=False)],
        [nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6)],
        [nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4)],
        [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(5)],
    ],
)
def test_unsuitable_networks(layers):
    message = r"cannot be read from Sequential.*Give source_mean and source_std"
    with pytest.raises(ValueError, match=message):
        FirstLayer(nn.Sequential(*layers))


def test_layers_between_may_be_of_any_other_kind(generator):
    network = nn.Sequential(nn.Dropout(), nn.Conv2d(3, 4, 3), nn.Identity(), nn.BatchNorm2d(4))
    image = torch.rand(1, 3, 12, 12, generator=generator)
    assert math.isfinite(float(FirstLayer(network).fit(image).scale.sum()))
