# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The settings of how a network is run, and the block that applies them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from grata_monai._checks import check_choice, check_flag
from grata_monai.execution.checkpointing import checkpointed

Precision = Literal["fp32", "tf32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16")

_Call = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How networks are run.

    Args:
        precision: Of convolutions and matrix products. ``"fp32"``: what the network's parameters
            have, on CUDA without TF32. ``"tf32"``: on CUDA products of 10-bit mantissas, sums in
            single precision; elsewhere the same as ``"fp32"``. ``"bf16"``: automatic mixed
            precision in bfloat16 (parameters, gradients, statistics, losses stay in float32).
        compile: Run the network through ``torch.compile`` (on CUDA by CUDA graphs). The first
            image takes a minute or more, the first of a later process less, for compiled code is
            kept on disk. Rebinding compiles anew, so use it over a stream to which the adapter
            stays bound.
        checkpoint: Keep no activations inside the network's blocks for the backward pass, but
            compute them again there: less memory, more time. Not with ``compile``, which decides
            by itself what to keep.

    Raises:
        ValueError: If ``precision`` is unknown, or both of these are asked for.

    Example:
        >>> network = nn.Conv2d(3, 2, 1)
        >>> with Execution(precision="bf16").running(network):
        ...     network(torch.zeros(1, 3, 4, 4)).dtype
        torch.bfloat16
    """

    precision: Precision = "fp32"
    compile: bool = False
    checkpoint: bool = False

    def __post_init__(self) -> None:
        """Check the settings."""
        check_choice("Execution", "precision", self.precision, PRECISIONS)
        for name in ("compile", "checkpoint"):
            check_flag("Execution", name, getattr(self, name))
        if self.compile and self.checkpoint:
            raise ValueError(
                "Execution cannot checkpoint a compiled network: compiled code decides by itself "
                "what to keep for the backward pass. Leave compile or checkpoint off."
            )

    @contextmanager
    def running(self, network: nn.Module) -> Iterator[None]:
        """Run a block in which the network is run so; all is as before after it.

        Args:
            network: Any network; its class, parameters and state dictionary stay as they are.

        Raises:
            RuntimeError: If it shall be compiled and there is no C++ compiler for that.
        """
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        with ExitStack() as stack:
            if device.type == "cuda":
                stack.enter_context(_tensor_float(self.precision != "fp32"))
            if self.precision == "bf16":
                # Its cache would keep parameters as they were before an update in the block.
                stack.enter_context(
                    torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
                )
            if self.checkpoint:
                stack.enter_context(checkpointed(network))
            if self.compile:
                stack.enter_context(_compiled_calls(network, device))
            yield


def fast_precision(device: torch.device | str | None = None) -> Precision:
    """Return the precision of the "fast" preset, the lowest that a device computes fast.

    ``"bf16"`` where the device has instructions for it (on the CPU AVX512-BF16 or AMX, or their
    Arm counterpart), else ``"tf32"``, which costs nothing anywhere.

    Args:
        device: Where the network will run; default: the CPU.
    """
    device = torch.device("cpu" if device is None else device)
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return "bf16" if major >= _AMPERE else "tf32"
    operations = torch.ops.mkldnn
    supported = device.type == "cpu" and bool(operations._is_mkldnn_bf16_supported())
    return "bf16" if supported else "tf32"


_AMPERE = 8
_COMPILED = "_grata_monai_compiled"


@contextmanager
def uncompiled(network: nn.Module) -> Iterator[None]:
    """Let calls of the network be those of its code for a block, e.g. to watch its layers.

    Args:
        network: One that may be running compiled.
    """
    before = network._compiled_call_impl
    network._compiled_call_impl = None
    try:
        yield
    finally:
        network._compiled_call_impl = before


@contextmanager
def _tensor_float(allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 for a block."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    value: str | bool
    if hasattr(cudnn, "conv"):  # since torch 2.9, whose older switches fail beside these
        switches, name = (matmul, cudnn.conv), "fp32_precision"
        value = "tf32" if allowed else "ieee"
    else:
        switches, name, value = (matmul, cudnn), "allow_tf32", allowed
    before = [getattr(switch, name) for switch in switches]
    try:
        for switch in switches:
            setattr(switch, name, value)
        yield
    finally:
        for switch, former in zip(switches, before, strict=True):
            setattr(switch, name, former)


@contextmanager
def _compiled_calls(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Let calls of the network run its compiled form, made once per network, for a block."""
    if device.type == "cpu":
        _require_compiler()
    before = network._compiled_call_impl
    network._compiled_call_impl = _compiled_call_of(network, device)
    try:
        yield
    finally:
        network._compiled_call_impl = before


class _Kept:
    """A network's compiled call, which refers to the network and so must live and die with it.

    Args:
        call: The call; None in a copy of the network, which has to compile anew.
    """

    def __init__(self, call: _Call | None = None) -> None:
        self.call = call

    def __reduce__(self) -> tuple[type[_Kept], tuple[()]]:
        return (_Kept, ())


def _compiled_call_of(network: nn.Module, device: torch.device) -> _Call:
    """Return the compiled form of a network's call, the same each time."""
    kept = vars(network).get(_COMPILED)
    if not isinstance(kept, _Kept) or kept.call is None:
        before = network._compiled_call_impl
        # CUDA graphs on GPUs, where launching hundreds of small kernels takes the time.
        network.compile(mode="reduce-overhead" if device.type == "cuda" else None, dynamic=False)
        call = cast("_Call", network._compiled_call_impl)
        network._compiled_call_impl = before
        kept = _Kept(_copying(call) if device.type == "cuda" else call)
        vars(network)[_COMPILED] = kept
    return cast("_Call", kept.call)


def _copying(call: _Call) -> _Call:
    """Return a call whose result stays: a CUDA graph uses the memory of its results again."""
    return lambda *inputs, **options: tree_map_only(Tensor, Tensor.clone, call(*inputs, **options))


def _require_compiler() -> None:
    """Check for the compiler that torch.compile calls on the CPU.

    Raises:
        RuntimeError: If there is none.
    """
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "cl"]
    if not any(shutil.which(name) for name in names):
        raise RuntimeError(
            f"compile=True needs a C++ compiler on the CPU, but none of {', '.join(names)} was "
            "found; install one (Debian: apt-get install g++) or leave compile off."
        )
