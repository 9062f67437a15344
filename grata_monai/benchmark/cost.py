# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How long a plan will take, roughly."""

from __future__ import annotations

import time
from collections.abc import Iterable

import torch

from grata_monai.benchmark.grid import Cell
from grata_monai.benchmark.plan import Plan
from grata_monai.networks import ResUNet34

PASSES: dict[str, tuple[float, float]] = {
    "source": (1, 0),
    "ptbn": (1, 0),
    "alpha_bn": (1, 0),
    "diga": (1, 0),
    "medbn": (2, 0),
    "intent": (6, 0),
    "dua": (9, 0),
    "tent": (2, 1),
    "dltta": (2, 1),
    "domain_adaptor": (2, 1),
    "detta": (2, 1),
    "vptta": (2, 1),
    "sar": (3, 2),
    "pass": (4, 2),
    "grata": (9, 2),
    "cotta": (35, 1),
    "memo": (65, 1),
}
"""Forward and backward passes per image, counted from the methods' formulas."""
_UNKNOWN = (9.0, 2.0)
_BACKWARD = 2.0  # in forward passes


def estimated_seconds(plan: Plan, cells: Iterable[Cell]) -> float:
    """Return roughly how long cells take one after the other.

    One forward pass is timed here and now; a backward pass counts as two.

    Args:
        plan: The plan.
        cells: Some of its cells.
    """
    passes = 0.0
    for cell in cells:
        forward, backward = PASSES.get(plan.grid.method(cell.method).method, _UNKNOWN)
        passes += len(plan.stream(cell)) * (forward + _BACKWARD * backward)
    return passes * seconds_per_forward(plan.grid.image_size, plan.device)


@torch.inference_mode()
def seconds_per_forward(image_size: int, device: str) -> float:
    """Return how long the network takes for one image, the shortest of three times.

    Args:
        image_size: Side of the image in pixels.
        device: Where to compute.
    """
    network = ResUNet34().to(device).eval()
    images = torch.zeros(1, 3, image_size, image_size, device=device)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        float(network(images).sum())  # the number is there only when the device has finished
        times.append(time.perf_counter() - start)
    return min(times)
