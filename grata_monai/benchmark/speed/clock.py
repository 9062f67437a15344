# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A clock that waits for the device, so that what it times has been done."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import torch

_Result = TypeVar("_Result")
Timer = Callable[[], float]


class Clock:
    """Seconds by the wall, with all work on the device finished.

    Args:
        device: Where the work is done; a GPU takes orders and answers later.
        timer: Where the seconds come from.

    Example:
        >>> Clock(torch.device("cpu"), timer=iter([2.0, 5.0]).__next__).time(lambda: "done")
        (3.0, 'done')
    """

    def __init__(self, device: torch.device, timer: Timer = time.perf_counter) -> None:
        self.device = device
        self._timer = timer

    def now(self) -> float:
        """Return the time when all that was asked of the device until now is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self._timer()

    def time(self, call: Callable[[], _Result]) -> tuple[float, _Result]:
        """Return how many seconds a call took, and what it returned."""
        start = self.now()
        result = call()
        return self.now() - start, result
