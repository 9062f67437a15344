# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Find the deepest features of a network, with forward hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn


def bottleneck(network: nn.Module, image: Tensor) -> Tensor:
    """Return the deepest features, without running the decoder."""
    if hasattr(network, "bottleneck"):
        return cast("Callable[[Tensor], Tensor]", network.bottleneck)(image)
    return cast("Tensor", cast("nn.Module", network.encoder)(image)[-1])


@torch.no_grad()
def bottleneck_layer(network: nn.Module, image: Tensor) -> nn.Module:
    """Return the layer that makes the deepest features; of several the outermost."""
    makers: list[tuple[nn.Module, Tensor]] = []

    def note(module: nn.Module, _: tuple[Any, ...], output: Tensor) -> None:
        makers.append((module, output))

    modules = [module for module in network.modules() if module is not network]
    hooks = [module.register_forward_hook(note) for module in modules]
    features = bottleneck(network, image)
    for hook in hooks:
        hook.remove()
    return [module for module, output in makers if output is features][-1]


@contextmanager
def watched(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a layer returns during a block."""
    outputs: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _, __, output: outputs.append(output))
    try:
        yield outputs
    finally:
        hook.remove()
