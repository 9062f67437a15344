# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How unlike the source's an image's activations are, over all layers of a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai.state.bn_policies import source_statistics
from grata_monai.state.policy_handle import bn_layers


class LayerDistances:
    r"""Mean over layers of each image's :math:`\mathrm{mean}_c (\mu_c - \mu^s_c)^2 / v^s_c`."""

    def __init__(self) -> None:
        self._distances: list[Tensor] = []

    def mean(self) -> Tensor:
        """Return one distance per image, shape B.

        Raises:
            RuntimeError: If no layer was called.
        """
        if not self._distances:
            raise RuntimeError("No batch-normalization layer was called within the block.")
        return torch.stack(self._distances).mean(dim=0)

    def _see(self, layer: _BatchNorm, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        source = source_statistics(layer)
        activations: Tensor = inputs[0].detach()
        means = activations.flatten(2).mean(dim=2, dtype=source.mean.dtype)
        unlike = (means - source.mean).square() / (source.variance + layer.eps)
        self._distances.append(unlike.mean(dim=1))


@contextmanager
def measuring_layer_distances(network: nn.Module) -> Iterator[LayerDistances]:
    """Measure what enters batch normalization while a block runs; no hook outlives it.

    Layers that keep no running statistics of the source are left out.

    Args:
        network: Any network.

    Yields:
        An object whose ``mean()`` is there once the network has been called.
    """
    distances = LayerDistances()
    with ExitStack() as stack:
        for _, layer in bn_layers(network):
            if layer.running_mean is not None:
                hook = layer.register_forward_pre_hook(partial(distances._see, layer))
                stack.callback(hook.remove)
        yield distances
