# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Change what leaves a layer during a block of code; find the layer that makes the bottleneck."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import ReferenceType, ref

import torch
from torch import Tensor, nn

from grata_monai.networks.heads import HasBottleneck


@contextmanager
def replaced_output(layer: nn.Module, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Let a layer return ``function(output)`` during a block; no hook outlives it.

    Args:
        layer: Any module of a network.
        function: What to make of the layer's output.
    """

    def after(module: nn.Module, _: tuple[Any, ...], output: Tensor) -> Tensor:
        return function(output)

    handle = layer.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def find_bottleneck_layer(network: nn.Module, images: Tensor) -> str:
    """Return the name of the module whose output is what ``network.bottleneck(images)`` returns.

    Of several, as of a stage and its last block, the outermost.

    Args:
        network: Network with a method ``bottleneck(images)``, such as ResUNet34 or WithHeads.
        images: Any images that it takes.

    Raises:
        ValueError: If the network has no such method, or no module returns its result.
    """
    kind = type(network).__name__
    if not isinstance(network, HasBottleneck):
        raise ValueError(
            f"{kind} has no method bottleneck(images); add it, or name the layer whose output is "
            "the bottleneck."
        )
    outputs: list[tuple[str, ReferenceType[Tensor]]] = []  # weak: nothing is kept in memory

    def note(name: str) -> Callable[..., None]:
        def after(module: nn.Module, _: tuple[Any, ...], output: object) -> None:
            if isinstance(output, Tensor):
                outputs.append((name, ref(output)))

        return after

    with ExitStack() as stack:
        for name, module in network.named_modules():
            if name:
                stack.callback(module.register_forward_hook(note(name)).remove)
        features = network.bottleneck(images)
    found = [name for name, output in outputs if output() is features]
    if not found:
        raise ValueError(
            f"No module of {kind} returns what {kind}.bottleneck(images) returns, so nothing can "
            "be put in its place; name the layer whose output is the bottleneck."
        )
    return found[-1]
