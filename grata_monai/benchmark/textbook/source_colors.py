# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Read the source's colors from the first convolution and the normalization behind it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

Array = NDArray[np.floating]
SPREAD = 0.9
RIDGE = 0.02


def color_change(network: nn.Module, image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factor and offset of each channel after which an image suits the source best.

    Mean and deviation of what the first filters return are then closest to the running ones.

    Args:
        network: Begins with a convolution and batch normalization.
        image: 1xCxHxW.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | _BatchNorm)]
    convolution, norm = layers[:2]
    if not isinstance(convolution, nn.Conv2d) or not isinstance(norm, _BatchNorm):
        raise ValueError("The network must begin with a convolution and batch normalization.")
    responses = _responses(convolution, image)  # K filters x C channels x positions
    to_ones = _responses(convolution, torch.ones_like(image)).mean(axis=2)
    means = responses.mean(axis=2)
    centered = responses - means[:, :, None]
    covariance = centered @ centered.transpose(0, 2, 1) / responses.shape[2]
    source_mean = _numpy(norm.running_mean)
    if convolution.bias is not None:
        source_mean = source_mean - _numpy(convolution.bias)
    source_deviation = np.sqrt(_numpy(norm.running_var) + norm.eps)

    def residuals(unknowns: Array) -> Array:
        scale, shift = np.exp(unknowns[: means.shape[1]]), unknowns[means.shape[1] :]
        mean = means @ scale + to_ones @ shift
        variance = np.einsum("c,kcd,d->k", scale, covariance, scale)
        deviation = np.sqrt(np.maximum(variance, 1e-10))
        mean_error = (mean - source_mean) / source_deviation
        deviation_error = deviation / source_deviation - SPREAD
        data = np.concatenate([mean_error, deviation_error]) / np.sqrt(len(mean))
        return np.concatenate([data, np.sqrt(RIDGE) * unknowns])

    found = least_squares(residuals, np.zeros(2 * means.shape[1])).x
    scale, shift = np.split(found, 2)
    return image.new_tensor(np.exp(scale)), image.new_tensor(shift)


def _responses(layer: nn.Conv2d, image: Tensor) -> Array:
    """Return what the filters make of each channel alone."""
    responses = []
    for channel in range(image.shape[1]):
        alone, weight = image[:, channel, None], layer.weight[:, channel, None]
        response = F.conv2d(alone, weight, None, layer.stride, layer.padding, layer.dilation)
        responses.append(response[0].flatten(1))
    return _numpy(torch.stack(responses, dim=1))


def _numpy(values: Tensor | None) -> Array:
    if values is None:
        raise ValueError("The network's first batch normalization must keep running statistics.")
    array: Array = values.detach().double().cpu().numpy()
    return array
