# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The network, images and strong views of the committed golden stream: made by formula alone."""

from __future__ import annotations

import torch
from torch import nn


def wave(shape, phase):
    """Return sin of a running index: the same on every machine and version."""
    count = torch.Size(shape).numel()
    return torch.sin(torch.arange(count, dtype=torch.float64) * 1.7 + phase).reshape(shape)


def golden_network():
    """Return Conv-BN-ReLU-Conv-BN-ReLU-Conv, 3 channels in, 2 logits out, in float64."""
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Conv2d(5, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 2, 1),
    ).double()
    with torch.no_grad():
        for phase, parameter in enumerate(network.parameters()):
            parameter.copy_(0.5 * wave(parameter.shape, phase))
        for layer in (network[1], network[4]):
            layer.weight.add_(1.0)
    return network


def golden_images():
    """Return three images 1x3x10x10 in [0, 1]."""
    return [(0.5 + 0.5 * wave((1, 3, 10, 10), 10 + i)) ** (1 + i) for i in range(3)]


def golden_strong_views():
    """Return a strong view for each image."""
    return [image.flip(1).sqrt() for image in golden_images()]
