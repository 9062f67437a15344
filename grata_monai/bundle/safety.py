# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What keeps a stream safe: the guard of a config, and what the state of a run belongs to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from grata_monai._checks import check_flag
from grata_monai.bundle.data import shared_folder
from grata_monai.bundle.guard import exits_on_user_error
from grata_monai.data import FundusItem
from grata_monai.inferers import AdaptiveInferer, StreamGuard
from grata_monai.inferers.stream_guard import OnFault
from grata_monai.state import hash_of_tensors

_DIGITS = 16


@exits_on_user_error
def make_guard(*, guard: bool = True, on_fault: OnFault = "predict") -> StreamGuard | None:
    """Return the stream guard that a config asks for, or None.

    Args:
        guard: Whether there is to be one.
        on_fault: What becomes of images with a fault: ``"predict"`` or ``"skip"``.

    Raises:
        ValueError: If images are to be skipped without a guard that would find them.
    """
    check_flag("the bundle", "guard", guard)
    made = StreamGuard(on_fault=on_fault)  # a wrong word is an error without a guard, too
    if not guard and on_fault == "skip":
        raise ValueError(
            "The guard finds the images that 'on_fault' is to skip: leave the guard on, or leave "
            "out 'on_fault'."
        )
    return made if guard else None


def inspection(
    inferer: AdaptiveInferer, network: nn.Module, device: str | torch.device
) -> Callable[[Any], tuple[str, bool]]:
    """Return what asks an inferer's guard about a batch of one image.

    Args:
        inferer: The inferer.
        network: What it will be called with.
        device: Where the network is.
    """

    def inspect(batch: Any) -> tuple[str, bool]:
        return inferer.inspect(batch["image"].to(device), network)

    return inspect


def run_identity(
    settings: Mapping[str, Any], items: Sequence[FundusItem], network: nn.Module
) -> dict[str, Any]:
    """Return what the state of a run belongs to; all images may have been moved together since.

    Args:
        settings: Values of the config's keys, as ``settings.json`` has them.
        items: The whole stream.
        network: The source with its weights.
    """
    plain = json.loads(json.dumps(dict(settings), default=str))
    for key in ("weights", "dataset_dir"):
        plain.pop(key, None)
    root = shared_folder(items)
    return {
        **plain,
        "images": _list_of([item["image"] for item in items], root),
        "masks": _list_of([item.get("label") for item in items], root),
        "source": f"of SHA-256 {hash_of_tensors(network.state_dict())[:_DIGITS]}",
    }


def _list_of(paths: Sequence[str | None], root: str) -> str:
    """Return how many files there are, and what tells their names and order from others."""
    files = ["" if path is None else os.path.relpath(path, root) for path in paths]
    names = "\n".join(files).encode("utf-8", "surrogateescape")
    digest = hashlib.sha256(names).hexdigest()[:_DIGITS]
    return f"{sum(map(bool, files))} (names and order: {digest})"
