# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Gradient checkpointing of a network from outside.

A backward pass needs what layers saw in the forward pass, and what a network keeps for that is most
of the memory that adaptation takes. A checkpointed network keeps what enters its blocks only, and
runs each block a second time when the backward pass gets there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint

_FORWARD = "forward"
_MOST_NORMS = 4
"""Normalization layers of a block: a residual block of two or three convolutions has so many."""

_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@contextmanager
def checkpointed(network: nn.Module) -> Iterator[None]:
    """Run a block of code in which the network keeps little for its backward passes.

    Logits and gradients are the same bits as without. Statistics policies may have a memory: they
    do not notice the second pass, which sees them as they were at the first.

    The network's ``blocks_of`` are checkpointed, each time they are called where gradients are
    needed. They run as ever with arguments that are no tensors, in training mode (random layers
    would draw anew), with hooks on their layers (which may be gone by the second pass), and where
    ``torch.compile`` traces them (compiled code decides by itself what to keep). A network that
    changes what entered a block in place gets torch's own error in the backward pass.

    Args:
        network: Any network; its classes, parameters, hooks and state dictionary stay as they are.

    Raises:
        ValueError: If it has no such blocks.

    Example:
        >>> block = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU())
        >>> network = nn.Sequential(block, nn.Conv2d(3, 2, 1)).eval()
        >>> with checkpointed(network):
        ...     logits = network(torch.zeros(1, 3, 8, 8))
        >>> logits.mean().backward()
        >>> block[1].weight.grad is not None
        True
    """
    blocks = blocks_of(network)
    if not blocks:
        raise ValueError(
            f"Nothing of {type(network).__name__} can be checkpointed: no module inside it holds a "
            "normalization layer together with others. Put its layers into blocks "
            "(nn.Sequential), or leave checkpoint off."
        )
    changed: list[tuple[nn.Module, object]] = []
    try:
        for block in blocks:
            previous = vars(block).get(_FORWARD)
            if not isinstance(previous, _CheckpointedForward):  # else it is done already
                changed.append((block, previous))
                block.forward = _CheckpointedForward(_run, block, block.forward)
        yield
    finally:
        for block, previous in changed:
            vars(block).pop(_FORWARD, None)
            if previous is not None:
                vars(block)[_FORWARD] = previous


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """Return the modules of a network that are checkpointed, in the order of their registration.

    Those are the outermost ones inside it that hold normalization layers, but not more than four of
    them and not more than half of all: as many as in a residual block. Where modules are nested, as
    in MONAI's ``UNet``, this takes the blocks of the outer levels one by one, and the innermost
    levels, whose images are small, as a whole.

    Args:
        network: Any network. It is no block itself: one pass over all again would save nothing.
    """
    most = max(1, min(_MOST_NORMS, _count_norms(network) // 2))
    found: dict[int, nn.Module] = {}
    _collect(network, most, found)
    return list(found.values())


def _collect(module: nn.Module, most: int, found: dict[int, nn.Module]) -> None:
    for child in module.children():
        norms = _count_norms(child)
        if norms == 0 or isinstance(child, (*_NORMS, torch.jit.ScriptModule)):
            continue
        if norms > most or isinstance(child, nn.ModuleList | nn.ModuleDict):  # those are not called
            _collect(child, most, found)
        else:
            found[id(child)] = child


def _count_norms(module: nn.Module) -> int:
    return sum(isinstance(part, _NORMS) for part in module.modules())


class _CheckpointedForward(partial[Any]):
    """A block's ``forward`` while it is checkpointed."""


def _run(block: nn.Module, forward: Any, *inputs: Any, **options: Any) -> Any:
    """Run a block, checkpointed if that pays and is safe."""
    if options or not _needs_gradients(block, inputs) or not _repeats_itself(block):
        return forward(*inputs, **options)
    again = _AsNow(block)
    return checkpoint(
        forward,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,  # random layers are off, and the global generator is not ours
        context_fn=lambda: (nullcontext(), again),
    )


def _needs_gradients(block: nn.Module, inputs: tuple[Any, ...]) -> bool:
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return False
    if not all(isinstance(value, Tensor) for value in inputs):  # a list may have grown since
        return False
    tensors = (*inputs, *block.parameters())
    return any(tensor.requires_grad for tensor in tensors)


def _repeats_itself(block: nn.Module) -> bool:
    """Whether a second pass of a block does what the first one did."""
    for module in block.modules():
        hooked = module is not block and any(vars(module).get(name) for name in _HOOKS)
        if module.training or hooked:
            return False
    return True


class _AsNow:
    """Takes the policies on a block's layers back to what they are now, for the second pass.

    Args:
        block: The block that is about to run for the first time.
    """

    def __init__(self, block: nn.Module) -> None:
        policies = {id(p): p for p in map(_policy_on, block.modules()) if p is not None}
        self._then = [(policy, _copied(vars(policy))) for policy in policies.values()]
        self._kept: list[list[dict[str, Any]]] = []

    def __enter__(self) -> None:
        self._kept.append([dict(vars(policy)) for policy, _ in self._then])
        for policy, then in self._then:
            _put_back(policy, _copied(then))

    def __exit__(self, *_: object) -> None:
        for (policy, _then), now in zip(self._then, self._kept.pop(), strict=True):
            _put_back(policy, now)


def _policy_on(module: nn.Module) -> object | None:
    """Return the statistics policy, if any, that has taken the place of a layer's forward."""
    policy: object | None = getattr(vars(module).get(_FORWARD), "policy", None)
    return policy


def _copied(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return a copy whose lists and dictionaries can be changed without the original's noticing."""
    return {
        name: value.copy() if isinstance(value, dict | list) else value
        for name, value in attributes.items()
    }


def _put_back(policy: object, attributes: dict[str, Any]) -> None:
    vars(policy).clear()
    vars(policy).update(attributes)
