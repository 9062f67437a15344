# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What is left to use: of the machine, and of the container."""

from __future__ import annotations

import pytest
import torch

from grata_monai.execution import free_memory
from grata_monai.execution import free_memory as function

CPU = torch.device("cpu")
MODULE = __import__("sys").modules[function.__module__]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Write what the system tells; what is not written is not told."""
    paths = [tmp_path / name for name in ("meminfo", "max", "current", "limit", "usage")]
    monkeypatch.setattr(MODULE, "_MEMINFO", paths[0])
    monkeypatch.setattr(MODULE, "_GROUPS", ((paths[1], paths[2]), (paths[3], paths[4])))

    def write(**texts):
        for name, text in texts.items():
            (tmp_path / name).write_text(text)

    return write


def test_of_the_machine(files):
    assert free_memory(CPU) == 0
    files(meminfo="MemTotal:       4000 kB\nMemAvailable:   3000 kB\n")
    assert free_memory(CPU) == 3000 * 1024


@pytest.mark.parametrize("names", [("max", "current"), ("limit", "usage")])
def test_not_more_than_the_container_may_have(files, names):
    files(meminfo="MemAvailable:   3000 kB\n")
    limit, usage = names
    files(**{limit: "max\n", usage: "1000\n"})
    assert free_memory(CPU) == 3000 * 1024
    files(**{limit: "5000\n", usage: "1500\n"})
    assert free_memory(CPU) == 3500
    files(**{usage: "6000\n"})
    assert free_memory(CPU) == 0


def test_of_this_machine():
    assert free_memory(CPU) >= 0


def test_of_a_graphics_card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (7, 9))
    assert free_memory(torch.device("cuda")) == 7
