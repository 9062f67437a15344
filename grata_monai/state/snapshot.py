# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Capture everything that adaptation may change in a network, and put it back bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn


class Snapshot:
    """Copy of a network's parameters and buffers with their flags.

    Values are copied back in place, so optimizers and other holders of the tensors stay valid,
    and a network that was moved to another device meanwhile is restored there.

    Args:
        network: The network to capture.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.values = {name: tensor.detach().clone() for name, tensor in _tensors(network)}
        self.requires_grad = {name: p.requires_grad for name, p in network.named_parameters()}
        self.gradients = {name: p.grad for name, p in network.named_parameters()}
        self.training = {name: module.training for name, module in network.named_modules()}

    def restore_values(self) -> None:
        """Put parameters and buffers back, bit for bit; buffers that are new since stay."""
        with torch.inference_mode(False), torch.no_grad():
            for name, tensor in _tensors(self.network):
                if name in self.values:
                    tensor.copy_(self.values[name])

    def restore(self) -> None:
        """Put back values, ``requires_grad``, ``grad`` and training flags."""
        self.restore_values()
        for name, parameter in self.network.named_parameters():
            gradient = self.gradients[name]
            parameter.requires_grad_(self.requires_grad[name])
            parameter.grad = None if gradient is None else gradient.to(parameter)
        for name, module in self.network.named_modules():
            module.training = self.training[name]


def hash_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256, in hexadecimal, of names, shapes, dtypes and values in their order.

    Args:
        tensors: On any device and in any memory layout, neither of which matters.
    """
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        values = tensor.detach().contiguous().cpu().flatten()
        digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Run a block with every module in evaluation mode; give each its own flag back after it."""
    flags = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in flags:
            module.training = training


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(network.named_parameters(), network.named_buffers())
