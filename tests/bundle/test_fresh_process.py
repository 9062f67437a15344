# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What only a process of its own can show: what an import brings along, and an orderly end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.bundle.conftest import REPOSITORY

PROGRAM = """
import sys, time
import grata_monai.bundle as bundle

print(*sorted(sys.modules), sep="\\n")
print(bundle.benchmark_plan.__module__, bundle.run_training.__module__, file=sys.stderr)


def slow(item):
    if item:
        time.sleep(0.3)
    return {"image": item}


keep = iter(bundle.PrefetchDataLoader(bundle.prefetching.Dataset([0, 1, 2, 3], slow)))
next(keep)
raise SystemExit(7)  # while the thread reads, and with the iteration still referenced
"""


@pytest.fixture(scope="module")
def finished():
    """The finished program."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_inference_does_not_import_what_only_benchmarks_and_training_need(finished):
    modules = finished.stdout.splitlines()
    assert "grata_monai.bundle.setup" in modules
    heavy = ("benchmark", "training", "report", "label", "bundle.benchmarking", "bundle.training")
    found = [
        name for name in modules for part in heavy if f"{name}.".startswith(f"grata_monai.{part}.")
    ]
    assert found == []


def test_what_is_imported_later_is_there(finished):
    assert finished.stderr.splitlines()[-1].split() == [
        "grata_monai.bundle.benchmarking",
        "grata_monai.bundle.training",
    ]


def test_a_process_ends_as_it_should_while_a_thread_reads_ahead(finished):
    assert finished.returncode == 7
