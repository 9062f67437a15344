# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A chain of layers run by hand in double precision, with any rule for its BN statistics."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


def forward(network, images, statistics):
    """Return features before the last convolution and logits, as numpy arrays.

    Args:
        network: A chain like ``tiny_network()``.
        images: 1xCxHxW.
        statistics: Rule (source mean, source variance, CxM values) -> (mean, variance).
    """
    values = images.double()
    for layer in list(network)[:-1]:
        if isinstance(layer, nn.Conv2d):
            values = convolve(layer, values)
        elif isinstance(layer, nn.BatchNorm2d):
            values = torch.from_numpy(normalize(layer, values.numpy(), statistics))
        elif isinstance(layer, nn.ReLU):
            values = values.clamp(min=0)
    return values.numpy(), convolve(network[-1], values).numpy()


def convolve(layer, values):
    weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
    return nn.functional.conv2d(values, weight, bias, padding=layer.padding)


def normalize(layer, values, statistics):
    source = layer.running_mean.double().numpy(), layer.running_var.double().numpy()
    mean, variance = statistics(*source, np.moveaxis(values, 1, 0).reshape(len(source[0]), -1))
    scale = layer.weight.detach().double().numpy() / np.sqrt(variance + layer.eps)
    shift = layer.bias.detach().double().numpy() - mean * scale
    return values * scale[None, :, None, None] + shift[None, :, None, None]


def mixture(source_share, *, ddof=0):
    """Return the rule ``source_share * source + (1 - source_share) * current``."""

    def rule(mean, variance, values):
        rest = 1.0 - source_share
        return (
            source_share * mean + rest * values.mean(1),
            source_share * variance + rest * values.var(1, ddof=ddof),
        )

    return rule


def sigmoid(logits):
    return 1.0 / (1.0 + np.exp(-logits))


def logit(probabilities):
    return np.log(probabilities) - np.log1p(-probabilities)
