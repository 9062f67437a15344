# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How much of the device's arithmetic a method uses: its operations against a large product."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from grata_monai.benchmark.speed.clock import Clock
from grata_monai.execution import Execution, Precision

_SIDES = {"cpu": 2048, "cuda": 8192}
_REPEATS = 7


def floating_point_operations(step: Callable[[], object]) -> int:
    """Return the operations of the convolutions and products in a step, also backward.

    Args:
        step: Runs it once; torch counts two operations for a product and its sum.
    """
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    return int(counter.get_total_flops())


def matmul_peak(clock: Clock, precision: Precision, *, side: int | None = None) -> float:
    """Return the most operations per second that a large matrix product reaches here and now.

    Args:
        clock: Of the device.
        precision: Of the product.
        side: Of the two square matrices; default: large enough to fill the device.
    """
    device = clock.device
    side = _SIDES.get(device.type, 2048) if side is None else side
    product = torch.nn.Linear(side, side, bias=False, device=device).requires_grad_(False)
    matrix = torch.ones(side, side, device=device)
    with torch.no_grad(), Execution(precision=precision).running(product):
        # Autocast would time the conversion, too.
        wanted = torch.bfloat16 if precision == "bf16" else torch.float32
        product, matrix = product.to(wanted), matrix.to(wanted)
        product(matrix)
        fastest = min(clock.time(lambda: product(matrix))[0] for _ in range(_REPEATS))
    return 2.0 * side**3 / fastest
