# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tiny source models that know noise from anything else, as trained ones do."""

from __future__ import annotations

import torch
from torch import nn

CHANNELS, SIZE = 17, 12


def noise_source(distance=0.22, *, seed=0):
    """Return a network, 3 channels in, 2 logits out, with uniform noise at a distance from it.

    Its one layer of batch normalization has the variances of noise, each times exp(2 d q) with q
    from -1 to 1 in equal steps, whose median distance from their median is 1/2. The channels that
    ``ramp`` moves most have the smallest ones, which puts it much farther away.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = (nn.Conv2d(3, CHANNELS, 3, padding=1), nn.BatchNorm2d(CHANNELS), nn.ReLU())
    network = nn.Sequential(*layers, nn.Conv2d(CHANNELS, 2, 1)).eval()
    with torch.no_grad():
        for parameter in (*network[0].parameters(), *network[3].parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
        noise = torch.rand((1, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0))
        variance, moved = (
            network[0](images).transpose(0, 1).flatten(1).var(dim=1, unbiased=False)
            for images in (noise, ramp())
        )
        steps = torch.empty(CHANNELS)
        steps[(moved / variance).argsort(descending=True)] = torch.linspace(-1, 1, CHANNELS)
        network[1].running_var.copy_(variance * (2 * distance * steps).exp())
    return network


def ramp():
    """Return a smooth picture, which no filter answers as it answers noise."""
    row, column = torch.meshgrid(*[torch.linspace(0, 1, SIZE)] * 2, indexing="ij")
    return torch.stack([row, column, row * column])[None]


def noises(count, *, seed=1):
    """Return other noise, which is genuine for these sources."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand((1, 3, SIZE, SIZE), generator=generator) for _ in range(count)]
