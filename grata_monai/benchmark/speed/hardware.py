# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What a measurement ran on."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from grata_monai.execution import fast_precision


@dataclass(frozen=True)
class Hardware:
    """What a measurement ran on.

    Args:
        device: ``cpu``, ``cuda``, ...
        cpu: The processor's name.
        cores: Cores that the process may use.
        threads: Threads that torch uses.
        memory_gib: Of the machine; NaN if the system does not tell.
        gpu: Name and memory of the graphics card, or "".
        torch_version: Of PyTorch.
        python_version: Of Python.
        fast: Precision of the fast preset there.
    """

    device: str
    cpu: str
    cores: int
    threads: int
    memory_gib: float
    gpu: str
    torch_version: str
    python_version: str
    fast: str

    @classmethod
    def of(cls, device: torch.device) -> Hardware:
        """Return what this process runs on.

        Args:
            device: Where the networks will be.
        """
        return cls(
            device=device.type,
            cpu=_cpu_name(),
            cores=_cores(),
            threads=torch.get_num_threads(),
            memory_gib=_memory_gib(),
            gpu=_gpu_name(device),
            torch_version=torch.__version__,
            python_version=platform.python_version(),
            fast=fast_precision(device),
        )

    def __str__(self) -> str:
        where = f"{self.gpu}, " if self.gpu else ""
        return (
            f"{where}{self.cpu}, {self.cores} cores, {self.threads} threads, "
            f"{self.memory_gib:.0f} GiB; torch {self.torch_version}, Python {self.python_version}; "
            f"fast precision: {self.fast}"
        )

    def as_dict(self) -> dict[str, object]:
        """Return all of it by name, what is unknown as None."""
        return {k: None if v != v else v for k, v in asdict(self).items()}


def _cpu_name() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", _read("/proc/cpuinfo"), flags=re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else platform.processor() or platform.machine()


def _memory_gib() -> float:
    try:
        found = re.search(r"^MemTotal:\s+(\d+) kB", _read("/proc/meminfo"), flags=re.MULTILINE)
    except OSError:
        found = None
    return int(found.group(1)) / 2**20 if found else float("nan")


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpu_name(device: torch.device) -> str:
    if device.type != "cuda":
        return ""
    found = torch.cuda.get_device_properties(device)
    return f"{found.name} ({found.total_memory / 2**30:.0f} GiB)"


def _read(path: str) -> str:
    return Path(path).read_text()
