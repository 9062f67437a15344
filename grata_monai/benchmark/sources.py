# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Source models of a benchmark, each with the heads that a method needs."""

from __future__ import annotations

import os

import torch
from torch import nn

from grata_monai.adapters import Adapter
from grata_monai.networks import HEAD_NAMES, source_network
from grata_monai.objectives import Objective


def load_source(
    weights: str | os.PathLike[str], adapter: Adapter, device: str | torch.device
) -> nn.Module:
    """Return a source model with the heads that a method needs and no others.

    Args:
        weights: Checkpoint of this package or of the authors.
        adapter: The method.
        device: Where to put the network.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no source model, or lacks a head that the method needs.
    """
    return source_network(weights, heads=needed_heads(adapter)).to(device).eval()


def needed_heads(adapter: Adapter) -> tuple[str, ...]:
    """Return the names of the heads that a method's objectives need.

    Args:
        adapter: The method, or one that wraps another.
    """
    found: set[str] = set()
    for value in vars(adapter).values():
        if isinstance(value, Objective) and value.required_head is not None:
            found.add(value.required_head)
        elif isinstance(value, Adapter):
            found.update(needed_heads(value))
    return tuple(name for name in HEAD_NAMES if name in found)
