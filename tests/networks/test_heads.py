# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the self-supervised heads."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grata_monai.networks import HEAD_NAMES, WithHeads, build_heads


class Toy(nn.Module):
    """Smallest network with a bottleneck."""

    def bottleneck(self, images):
        return images.mean(1, keepdim=True)

    def forward(self, images):
        return images + 1


def test_counts_match_the_reference(with_heads):
    norms = [m for m in with_heads.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 53
    assert sum(m.weight.numel() + m.bias.numel() for m in norms) == 22_016
    unused_classifier = 512 * 1000 + 1000
    count = sum(p.numel() for p in with_heads.parameters())
    assert count == 23_267_842 - unused_classifier


def test_heads_match_an_independent_implementation(with_heads, oracle, images):
    with torch.no_grad():
        expected = {
            "reconstruction": oracle.image_head(images, "recon"),
            "denoising": oracle.image_head(images, "denoise"),
            "super_resolution": oracle.super_resolution(images),
            "rotation": oracle.rotation(images),
        }
        outputs = {name: with_heads.head(name, images) for name in HEAD_NAMES}
    assert outputs["reconstruction"].shape == (2, 3, 64, 32)
    assert outputs["super_resolution"].shape == (2, 3, 128, 64)
    assert outputs["rotation"].shape == (2, 6)
    assert not torch.equal(outputs["reconstruction"], outputs["denoising"])
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-4)


def test_forward_is_the_networks_own(with_heads, network, images):
    with torch.no_grad():
        assert torch.equal(with_heads(images), network(images))
        assert torch.equal(with_heads.bottleneck(images), network.bottleneck(images))


def test_a_head_sends_no_gradient_to_the_decoder(with_heads):
    images = torch.full((1, 3, 32, 32), 0.5)
    loss = with_heads.head("rotation", images).square().sum()
    decoder = [with_heads.network.up1.norm.weight, with_heads.network.output.weight]
    encoder = [with_heads.network.encoder.bn1.weight]
    gradients = torch.autograd.grad(loss, [*decoder, *encoder], allow_unused=True)
    assert gradients[0] is None
    assert gradients[1] is None
    assert gradients[2].abs().sum() > 0


def test_only_the_wanted_heads_are_attached():
    network = WithHeads(Toy(), build_heads(["rotation"], in_channels=1))
    assert list(network.heads) == ["rotation"]
    assert network.head("rotation", torch.zeros(2, 3, 4, 4)).shape == (2, 6)
    with pytest.raises(ValueError, match="no head 'denoising'; it has: rotation"):
        network.head("denoising", torch.zeros(1, 3, 4, 4))


def test_image_channels_of_the_heads():
    names = ["super_resolution", "reconstruction"]
    heads = build_heads(names, in_channels=4, image_channels=1)
    assert list(heads) == names
    with torch.no_grad():
        shapes = {name: tuple(h.eval()(torch.zeros(1, 4, 1, 2)).shape) for name, h in heads.items()}
    assert shapes == {"super_resolution": (1, 1, 64, 128), "reconstruction": (1, 1, 32, 64)}


def test_unknown_and_repeated_names_are_refused():
    with pytest.raises(ValueError, match="did you mean 'rotation'"):
        build_heads(["rotatoin"])
    with pytest.raises(ValueError, match="must differ"):
        build_heads(["rotation", "rotation"])
    with pytest.raises(TypeError, match="must be a list"):
        build_heads("rotation")


def test_a_network_without_bottleneck_is_refused():
    with pytest.raises(TypeError, match=r"bottleneck\(images\).*Got Conv2d"):
        WithHeads(nn.Conv2d(3, 2, 1), {})
