# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How much memory a step needs above the process at rest."""

from __future__ import annotations

import gc
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from grata_monai.benchmark.memory import PeakMemory

_Result = TypeVar("_Result")
_STATUS = Path("/proc/self/status")
_TOLERANCE_MIB = 1.0


def memory_above_idle(device: torch.device, call: Callable[[], _Result]) -> tuple[float, _Result]:
    """Return the MiB that a call needed at most above what was there before, and its result.

    Libraries, networks and images were there before. On a graphics card: what torch allocated. On
    the CPU: the resident set, or NaN where the system cannot restart its highest mark.

    Args:
        device: Where the network is.
        call: What to run.
    """
    gc.collect()
    memory = PeakMemory(device)
    memory.start()
    idle = memory.read()
    if device.type != "cuda" and not abs(idle - _resident_now()) < _TOLERANCE_MIB:
        idle = math.nan  # the mark is an old one
    result = call()
    return memory.read() - idle, result


def _resident_now() -> float:
    """Return the process's resident set in MiB; NaN if the system does not tell."""
    try:
        found = re.search(r"^VmRSS:\s+(\d+) kB", _STATUS.read_text(), flags=re.MULTILINE)
    except OSError:
        found = None
    return int(found.group(1)) / 1024.0 if found else math.nan
