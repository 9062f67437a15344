# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What keeps a stream safe: the guard of a config, and what the state of a run belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from grata_monai._checks import check_flag
from grata_monai.bundle.guard import exits_on_user_error
from grata_monai.data import FundusItem
from grata_monai.inferers import AdaptiveInferer, StreamGuard
from grata_monai.inferers.stream_guard import OnFault
from grata_monai.state import hash_of_tensors


@exits_on_user_error
def make_guard(*, guard: bool = True, on_fault: OnFault = "predict") -> StreamGuard | None:
    """Return the stream guard that a config asks for, or None.

    Args:
        guard: Whether there is to be one.
        on_fault: What becomes of images with a fault: ``"predict"`` or ``"skip"``.
    """
    check_flag("the bundle", "guard", guard)
    made = StreamGuard(on_fault=on_fault)  # a wrong word is an error without a guard, too
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
    """Return what the state of a run belongs to; files may have been moved since.

    Args:
        settings: Values of the config's keys, as ``settings.json`` has them.
        items: The whole stream.
        network: The source with its weights.
    """
    paths = "\n".join(item["image"] for item in items)
    plain = json.loads(json.dumps(dict(settings), default=str))
    for key in ("weights", "dataset_dir"):
        plain.pop(key, None)
    digest = hashlib.sha256(paths.encode("utf-8", "surrogateescape")).hexdigest()
    images = f"{len(items)} with the SHA-256 {digest} of their paths"
    return {**plain, "images": images, "source": hash_of_tensors(network.state_dict())}
