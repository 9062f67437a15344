# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Choose the parameters that a method may change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from grata_monai._checks import check_choice
from grata_monai.state.policy_handle import bn_layers

ParameterScope = Literal["all", "bn_affine"]


def bn_affine_parameters(
    network: nn.Module, *, prefix: str = "", exclude: Sequence[str] = ()
) -> dict[str, nn.Parameter]:
    """Return scale and shift of every batch-normalization layer by their names in the network.

    Args:
        network: Any network.
        prefix: Take only layers whose name starts with it, e.g. ``"encoder."``.
        exclude: Leave out layers in these modules, e.g. ``["encoder.layer4"]``, also where a
            wrapper puts something before that name; modules that the network lacks do not matter.

    Raises:
        ValueError: If there is none.
    """
    affine = {
        id(parameter)
        for name, layer in bn_layers(network)
        if name.startswith(prefix) and not any(_is_inside(name, module) for module in exclude)
        for parameter in layer.parameters(recurse=False)
    }
    # The network's own list names a parameter that layers share only once.
    found = {name: p for name, p in network.named_parameters() if id(p) in affine}
    if not found:
        where = f" under {prefix!r}" if prefix else ""
        where += f" outside of {', '.join(exclude)}" if exclude else ""
        raise ValueError(
            f"{type(network).__name__} has no batch-normalization layer with scale and shift"
            f"{where}; test-time adaptation of those parameters needs one "
            "(in MONAI networks: norm='batch')."
        )
    return found


def _is_inside(name: str, module: str) -> bool:
    """Whether a dotted name runs through a module's (possibly dotted) name."""
    return f".{module}." in f".{name}."


def select_parameters(
    network: nn.Module, scope: ParameterScope = "bn_affine", *, prefix: str = ""
) -> dict[str, nn.Parameter]:
    """Return the named parameters of a scope: the BN scale and shift, or all.

    Args:
        network: Any network.
        scope: ``"bn_affine"`` (every published test-time method here) or ``"all"``.
        prefix: Take only names that start with it.

    Raises:
        ValueError: For an unknown scope, or if nothing is found.
    """
    check_choice("select_parameters", "scope", scope, ("all", "bn_affine"))
    if scope == "bn_affine":
        return bn_affine_parameters(network, prefix=prefix)
    found = {name: p for name, p in network.named_parameters() if name.startswith(prefix)}
    if not found:
        raise ValueError(f"{type(network).__name__} has no parameter under {prefix!r}.")
    return found
