# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""One seeded full-size network with all heads, shared because it takes a second to make."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from grata_monai.networks import ResUNet34, WithHeads, build_heads, to_reference_keys


class Reference:
    """The network and its heads a second time, with plain functions on the authors' names."""

    def __init__(self, state):
        self.state = state

    def conv(self, x, name, **kwargs):
        return F.conv2d(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"), **kwargs)

    def up(self, x, name):
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return F.conv_transpose2d(x, weight, bias, stride=2)

    def bn(self, x, name):
        parts = ("running_mean", "running_var", "weight", "bias")
        mean, var, gamma, beta = (self.state[f"{name}.{p}"][:, None, None] for p in parts)
        return (x - mean) / torch.sqrt(var + 1e-5) * gamma + beta

    def layer(self, x, index, blocks):
        for block in range(blocks):
            name = f"res.layer{index}.{block}"
            stride = 2 if index > 1 and block == 0 else 1
            y = self.bn(self.conv(x, f"{name}.conv1", stride=stride, padding=1), f"{name}.bn1")
            y = self.bn(self.conv(y.relu(), f"{name}.conv2", padding=1), f"{name}.bn2")
            if stride == 2:
                x = self.bn(self.conv(x, f"{name}.downsample.0", stride=2), f"{name}.downsample.1")
            x = (x + y).relu()
        return x

    def encode(self, x):
        features = [self.bn(self.conv(x, "res.conv1", stride=2, padding=3), "res.bn1").relu()]
        x = F.max_pool2d(features[0], 3, 2, 1)
        for index, blocks in enumerate((3, 4, 6, 3), start=1):
            x = self.layer(x, index, blocks)
            features.append(x)
        return features

    def logits(self, images):
        *skips, x = self.encode(images)
        for level, skip in enumerate(reversed(skips), start=1):
            both = [self.up(x, f"up{level}.tr_conv"), self.conv(skip, f"up{level}.x_conv")]
            x = self.bn(torch.cat(both, 1).relu(), f"up{level}.bn")
        return self.conv(self.bn(self.up(x, "up5"), "bnout").relu(), "seg_head")

    def pyramid(self, images, name):
        x = self.encode(images)[-1]
        for level in range(1, 5):
            x = self.double(x)
            x = self.bn(self.conv(x, f"{name}{level}.conv").relu(), f"{name}{level}.bn")
        return self.double(x)

    @staticmethod
    def double(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)

    def image_head(self, images, name):
        return self.conv(self.pyramid(images, name), f"{name}_head")

    def super_resolution(self, images):
        x = self.conv(self.pyramid(images, "supres"), "supres_head.0", padding=2).tanh()
        x = self.conv(x, "supres_head.2", padding=1).tanh()
        return F.pixel_shuffle(self.conv(x, "supres_head.4", padding=1), 2)

    def rotation(self, images):
        x = self.encode(images)[-1].mean((2, 3))
        for index in (0, 2, 4):
            weight, bias = (
                self.state[f"rotate_head.{index}.{part}"] for part in ("weight", "bias")
            )
            x = F.linear(x, weight, bias)
            x = x if index == 4 else F.leaky_relu(x, 0.2)
        return x


@pytest.fixture(scope="session")
def with_heads():
    """Network in eval mode whose batch norms all differ from their initial values."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = WithHeads(ResUNet34(), build_heads()).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.uniform_(module.bias, -0.2, 0.2)
                torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
                torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


@pytest.fixture(scope="session")
def network(with_heads):
    return with_heads.network


@pytest.fixture(scope="session")
def oracle(with_heads):
    return Reference(to_reference_keys(with_heads.state_dict()))


@pytest.fixture(scope="session")
def reference_state(with_heads):
    """The same weights as the authors' file holds them: half precision, a classifier too much."""
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in to_reference_keys(with_heads.state_dict()).items()
    }
    return {**state, "res.fc.weight": torch.ones(10, 512), "res.fc.bias": torch.ones(10)}


@pytest.fixture(scope="session")
def reference_file(reference_state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "last-Res_Unet.pth"
    torch.save(reference_state, path)
    return path


@pytest.fixture
def images(generator):
    return torch.rand(2, 3, 64, 32, generator=generator)


@pytest.fixture(scope="session")
def meta_network():
    """Network with the right names and shapes and no numbers, to check what fits."""
    with torch.device("meta"):
        return ResUNet34()
