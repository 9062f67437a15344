# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Find batch-normalization layers and let them use the current image's statistics."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Return all batch-normalization layers."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def use_batch_statistics(network: nn.Module) -> list[nn.Parameter]:
    """Let all layers normalize with the batch's statistics, and return their scale and shift.

    This is torch's training mode; momentum 0 keeps the source's running statistics as they are.
    The parameters returned are made trainable, no others.
    """
    parameters: list[nn.Parameter] = []
    for layer in batch_norms(network):
        layer.train()
        layer.momentum = 0.0
        parameters += layer.parameters(recurse=False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    return parameters
