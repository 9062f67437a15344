# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A run that is killed at any moment goes on; in the end there is no difference."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from grata_monai.preparation import DrishtiGS, PrepareOptions, RegionOptions, prepare
from tests.preparation.conftest import Drishti

FILES = ("*.png", "*.csv", "manifest.json")


def start(raw, out):
    command = [sys.executable, "-m", "grata_monai", "data", "prepare", "drishti-gs", "--jobs", "2"]
    command += ["--raw", raw, "--out", out, "--roi-size", "48"]
    return subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for_lines(journal, count, process):
    for _ in range(3000):
        lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
        if lines >= count or process.poll() is not None:
            return
        time.sleep(0.01)
    raise TimeoutError(f"no {count} lines in {journal}")


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for pattern in FILES
        for path in folder.rglob(pattern)
        if not path.name.startswith(".")
    }


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_killed_again_and_again(tmp_path, sign):
    raw = Drishti(tmp_path / "raw", numbers=range(1, 102)).root
    once = prepare(
        DrishtiGS(),
        [raw],
        tmp_path / "once",
        region=RegionOptions(roi_size=48),
        options=PrepareOptions(jobs=1, progress=False),
    )
    assert once.complete
    assert len(once.records) == 101
    out = tmp_path / "out"
    for lines in (3, 40, 80):
        process = start(raw, out)
        wait_for_lines(out / "Drishti_GS" / ".prepare.jsonl", lines, process)
        os.killpg(process.pid, sign)
        error = process.communicate(timeout=30)[1].decode()
        assert process.returncode == (-sign if sign == signal.SIGKILL else 130), error
        assert not list(out.glob("*.csv"))  # not complete, and does not look it
        for path in out.rglob("image/*.png"):
            if not path.name.startswith("."):
                Image.open(path).verify()
    process = start(raw, out)
    assert process.wait(timeout=60) == 0, process.stderr.read()
    process.stderr.close()
    assert contents(out) == contents(tmp_path / "once")
    assert [path for path in out.rglob(".*")] == []
