# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Names of tensors in the authors' checkpoints and in ours, and the way from one to the other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_BLOCK_PARTS = {"tr_conv": "up", "x_conv": "skip", "bn": "norm"}
_HEADS = {"recon": "reconstruction", "denoise": "denoising", "supres": "super_resolution"}


def _prefixes() -> dict[str, str]:
    """Return the authors' name prefixes and ours, one to one; every name has exactly one."""
    table = {
        "res.": "encoder.",
        "up5.": "up5.",
        "bnout.": "output_norm.",
        "seg_head.": "output.",
        "rotate_head.": "heads.rotation.layers.",
    }
    for level in range(1, 5):
        for theirs, ours in _BLOCK_PARTS.items():
            table[f"up{level}.{theirs}."] = f"up{level}.{ours}."
        for theirs, ours in _HEADS.items():
            table[f"{theirs}{level}.conv."] = f"heads.{ours}.up{level}.conv."
            table[f"{theirs}{level}.bn."] = f"heads.{ours}.up{level}.norm."
    for theirs, ours in _HEADS.items():
        table[f"{theirs}_head."] = f"heads.{ours}.output."
    return table


_TO_OURS = _prefixes()
_TO_REFERENCE = {ours: theirs for theirs, ours in _TO_OURS.items()}

# Modules that the authors' network holds but never calls: the classifier of the ResNet, its
# pooling, an instance norm.
_UNUSED = re.compile(r"(^|\.)(fc|avgpool|in|instance_?norm)\.", re.IGNORECASE)


def is_unused(name: str) -> bool:
    """Return whether a tensor of the authors' or of an ImageNet checkpoint has no use here."""
    return _UNUSED.search(name) is not None


def native_name(reference: str) -> str:
    """Return our name for a tensor of the authors' checkpoint.

    Args:
        reference: Name in the authors' checkpoint.

    Raises:
        ValueError: If the name belongs to none of the known parts.

    Example:
        >>> from grata_monai.networks import native_name
        >>> native_name("up1.tr_conv.weight")
        'up1.up.weight'
    """
    return _translate(reference, _TO_OURS, "the authors' checkpoints")


def reference_name(native: str) -> str:
    """Return the authors' name for a tensor of ``ResUNet34`` or ``WithHeads``.

    Args:
        native: Our name; heads under ``heads.``, the rest with or without ``network.`` in front.

    Raises:
        ValueError: If the name belongs to none of the known parts.

    Example:
        >>> from grata_monai.networks import reference_name
        >>> reference_name("heads.rotation.layers.0.bias")
        'rotate_head.0.bias'
    """
    return _translate(native.removeprefix("network."), _TO_REFERENCE, "ResUNet34 and its heads")


def to_reference_keys(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of ours under the authors' names; the tensors are shared, not copied.

    The result loads into the authors' code with ``strict=False`` (it lacks parts never used).

    Args:
        state_dict: State dict of ``ResUNet34`` or ``WithHeads``.

    Raises:
        ValueError: If a name belongs to none of the known parts.
    """
    return {reference_name(name): tensor for name, tensor in state_dict.items()}


def _translate(name: str, table: Mapping[str, str], owner: str) -> str:
    for prefix, other in table.items():
        if name.startswith(prefix):
            return other + name.removeprefix(prefix)
    raise ValueError(f"{name!r} is not the name of a tensor of {owner}.")
