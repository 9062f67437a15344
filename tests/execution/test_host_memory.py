# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Freed memory stays with the process while it is asked to keep it, and no longer."""

from __future__ import annotations

import subprocess
import sys

import pytest

from grata_monai.execution import host_memory, keep_freed_memory

PROGRAM = """
import sys
import torch
from grata_monai.execution import keep_freed_memory, kept_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

def use(mib=64):
    torch.ones(mib * 2**18)

def grown_by(run):
    before = resident()
    run()
    return resident() - before

torch.set_num_threads(1)
use()  # what torch itself needs the first time
keep_freed_memory(False)
print(grown_by(use))
with kept_memory():
    print(grown_by(use))
    # Smaller, since an aligned block may not fit where one was.
    print(grown_by(lambda: use(48)))
    held = resident()
print(held - resident())
print(grown_by(use))
"""


@pytest.mark.skipif(host_memory._glibc() is None, reason="needs Linux with glibc")
def test_freed_memory_is_kept_and_used_again_and_given_back():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    given_back, kept, again, returned, after = map(float, done.stdout.split())
    assert given_back < 16
    assert kept > 48
    assert again < 16  # what was kept is used again
    assert returned > 48
    assert after < 16


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(host_memory, "_glibc", lambda: None)
    assert keep_freed_memory() is False
    assert keep_freed_memory(False) is False
    with host_memory.kept_memory():
        pass


def test_every_other_library_is_told_apart(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    host_memory._glibc.cache_clear()
    assert host_memory._glibc() is None
    host_memory._glibc.cache_clear()
