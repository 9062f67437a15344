# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's network without this package's shortcuts, as a single script would write it."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)  # as in torchvision, from which everybody takes it
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            shortcut = nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature map."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return cast("Tensor", self.relu(out))


class ResNet34(nn.Module):
    """ResNet-34 without its classifier; returns the five feature maps, finest first."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _layer(64, 64, blocks=3, stride=1)
        self.layer2 = _layer(64, 128, blocks=4, stride=2)
        self.layer3 = _layer(128, 256, blocks=6, stride=2)
        self.layer4 = _layer(256, 512, blocks=3, stride=2)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the feature maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size."""
        features = [self.relu(self.bn1(self.conv1(x)))]
        x = self.maxpool(features[0])
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            features.append(x)
        return features


def _layer(in_channels: int, channels: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride)
    return nn.Sequential(first, *[BasicBlock(channels, channels, 1) for _ in range(blocks - 1)])


class UpBlock(nn.Module):
    """Double the size and merge a skip connection."""

    def __init__(self, in_channels: int, skip_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, 128, 2, stride=2)
        self.skip = nn.Conv2d(skip_channels, 128, 1)
        self.norm = nn.BatchNorm2d(256)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return the merged feature map; the norm follows the ReLU."""
        merged = torch.cat([self.up(coarse), self.skip(fine)], dim=1)
        return cast("Tensor", self.norm(F.relu(merged)))


class PlainResUNet(nn.Module):
    """The paper's U-Net on a ResNet-34, with the state dict of the package's ``ResUNet34``.

    Args:
        in_channels: Channels of the images.
        out_channels: Number of structures to segment.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 2) -> None:
        super().__init__()
        self.encoder = ResNet34(in_channels)
        self.up1 = UpBlock(512, 256)
        self.up2 = UpBlock(256, 128)
        self.up3 = UpBlock(256, 64)
        self.up4 = UpBlock(256, 64)
        self.up5 = nn.ConvTranspose2d(256, 32, 2, stride=2)
        self.output_norm = nn.BatchNorm2d(32)
        self.output = nn.Conv2d(32, out_channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits BxKxHxW for images BxCxHxW."""
        stem, layer1, layer2, layer3, layer4 = self.encoder(images)
        x = self.up1(layer4, layer3)
        x = self.up2(x, layer2)
        x = self.up3(x, layer1)
        x = self.up4(x, stem)
        x = F.relu(self.output_norm(self.up5(x)))
        return cast("Tensor", self.output(x))


def plain_copy(network: nn.Module) -> nn.Module:
    """Return a copy of a network; the package's own becomes the plain one of the same weights.

    Self-supervised heads around it are left out; a method that needs one copies it for itself.

    Args:
        network: Any network, not bound by an adapter.
    """
    # By name, not class: what is compared with the package must not import it.
    if type(network).__name__ == "WithHeads":
        return plain_copy(cast("nn.Module", network.network))
    if type(network).__name__ != "ResUNet34":
        return copy.deepcopy(network)
    state = network.state_dict()
    first = state["encoder.conv1.weight"]
    plain = PlainResUNet(first.shape[1], state["output.weight"].shape[0])
    plain = plain.to(first.device, first.dtype)
    plain.load_state_dict(state)
    return plain
