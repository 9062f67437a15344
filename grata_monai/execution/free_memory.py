# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How much memory there is left to use."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import torch

_MEMINFO = Path("/proc/meminfo")
_GROUPS = (
    # Limit and use of the container that the process is in, as of control groups 2 and 1.
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def free_memory(device: torch.device) -> int:
    """Return the bytes that a process may still take on a device; 0 if the system does not tell.

    On the CPU: what the system could give without swapping, and not more than the container's
    limit leaves. On CUDA: what is free there, without what torch holds in reserve.

    Args:
        device: Where.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text(_MEMINFO), flags=re.MULTILINE)
    free = int(found.group(1)) * 1024 if found else 0
    for limit, used in _GROUPS:
        with suppress(ValueError):  # no number: there is no such limit
            free = min(free, max(0, int(_text(limit)) - int(_text(used))))
    return free


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
