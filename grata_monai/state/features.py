# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""See what enters or leaves a network's layers during a block of code; no hook outlives it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from grata_monai._checks import check_choice

Side = Literal["input", "output"]


@contextmanager
def capture(layer: nn.Module, side: Side = "output") -> Iterator[list[Tensor]]:
    """Collect what enters or leaves a layer while a block runs.

    The tensors are the layer's own, not copies: they keep their graph (detach them if only the
    values are wanted), and a later layer that works in place changes them.

    Args:
        layer: Any module of a network, e.g. ``network.get_submodule("encoder.layer4")``.
        side: ``"output"``, or ``"input"`` for the first positional argument.

    Yields:
        A list that grows by one tensor with each call of the layer, oldest first.

    Raises:
        TypeError: From within the layer's call, if what it takes or gives is no tensor.
        ValueError: If ``side`` is neither.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
        >>> with capture(network[0]) as found:
        ...     _ = network(torch.zeros(1, 3, 8, 8))
        >>> [tuple(tensor.shape) for tensor in found]
        [(1, 4, 8, 8)]
    """
    check_choice("capture", "side", side, ("input", "output"))
    found: list[Tensor] = []

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.append(_require_tensor(module, side, inputs[0] if inputs else None))

    def after(module: nn.Module, _: tuple[Any, ...], output: object) -> None:
        found.append(_require_tensor(module, side, output))

    if side == "input":
        handle = layer.register_forward_pre_hook(before)
    else:
        handle = layer.register_forward_hook(after)
    try:
        yield found
    finally:
        handle.remove()


class ClassifierInput:
    """What ``capture_classifier_input`` saw."""

    def __init__(self) -> None:
        self._latest: Tensor | None = None

    @property
    def features(self) -> Tensor:
        """The features BxFx*spatial of the network's last call.

        Raises:
            RuntimeError: If no convolution was called.
        """
        if self._latest is None:
            raise RuntimeError(
                "No convolution was called, so there are no features before the logits; call the "
                "network inside the block, and use one whose last layer is a convolution."
            )
        return self._latest

    def _see(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._latest = _require_tensor(module, "input", inputs[0] if inputs else None)


@contextmanager
def capture_classifier_input(network: nn.Module) -> Iterator[ClassifierInput]:
    """See the features from which a network makes its logits: the input of its last convolution.

    The last convolution is the one called last, whatever its name or place in the class. Only the
    latest input is held, so no more memory is needed than for that one tensor.

    Args:
        network: Any network with convolutions (1D to 3D, also transposed).

    Yields:
        An object whose ``features`` are there once the network has been called.

    Raises:
        ValueError: If the network has no convolution.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
        >>> with capture_classifier_input(network) as seen:
        ...     logits = network(torch.zeros(1, 3, 8, 8))
        >>> tuple(seen.features.shape), tuple(logits.shape)
        ((1, 4, 8, 8), (1, 2, 8, 8))
    """
    layers = [module for module in network.modules() if isinstance(module, _ConvNd)]
    if not layers:
        raise ValueError(
            f"{type(network).__name__} has no convolution, so there are no features before its "
            "logits; use a network whose last layer is one."
        )
    seen = ClassifierInput()
    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_pre_hook(seen._see).remove)
        yield seen


def _require_tensor(module: nn.Module, side: str, value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(
            f"The {side} of {type(module).__name__} must be a tensor to be captured; got "
            f"{type(value).__name__}. Name the layer inside it that takes or gives one."
        )
    return value
