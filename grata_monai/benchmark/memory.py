# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The highest use of memory while something runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch

_MIB = 2.0**20
_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class PeakMemory:
    """Peak memory between ``start`` and ``read``, in MiB.

    On a CUDA device: what torch had allocated there at most. On the CPU: the largest resident set
    of the whole process, which holds Python, the libraries and the network, too, so that only
    differences between methods say something. Where the system cannot restart that mark (anything
    but Linux) it is the largest since the process began, which can only grow from image to image.

    Args:
        device: Where the network is.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def start(self) -> None:
        """Begin anew, where the system allows it."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return
        try:
            _CLEAR.write_text("5")
        except OSError:
            return

    def read(self) -> float:
        """Return the peak since ``start``; NaN if the system does not tell."""
        if self.device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self.device)) / _MIB
        return resident_peak()


def resident_peak() -> float:
    """Return the process's largest resident set in MiB; NaN if the system does not tell."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", _STATUS.read_text(), flags=re.MULTILINE)
        if found:
            return int(found.group(1)) / 1024.0
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    unit = 1.0 if sys.platform == "darwin" else 1024.0  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB
