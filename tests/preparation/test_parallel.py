# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Work in several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grata_monai.preparation.parallel import parallel_map, usable_cores

REPOSITORY = Path(__file__).parents[2]


def square(number):
    return number * number


def fail_on_three(number):
    if number == 3:
        raise ValueError("three is refused")
    return number


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def handler_of_interrupts(number):
    return signal.getsignal(signal.SIGINT) == signal.SIG_IGN, os.getpid()


def touch(path):
    path.touch()
    if path.name == "0":
        raise ValueError("the first fails")


def run(function, items, jobs):
    return parallel_map(function, items, jobs=jobs, progress=False)


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_result_has_its_index(jobs):
    assert dict(run(square, [3, 1, 2], jobs)) == {0: 9, 1: 1, 2: 4}


def test_nothing_to_do():
    assert list(run(square, [], None)) == []


def test_one_job_stays_in_this_process():
    (_, (_, process)), *_ = run(handler_of_interrupts, [0, 1], 1)
    assert process == os.getpid()


def test_workers_are_other_processes_and_leave_interrupts_to_this_one():
    for _, (ignored, process) in run(handler_of_interrupts, [0, 1], 2):
        assert ignored
        assert process != os.getpid()


@pytest.mark.parametrize("jobs", [1, 2])
def test_exceptions_pass(jobs):
    with pytest.raises(ValueError, match="three is refused"):
        list(run(fail_on_three, [1, 2, 3, 4], jobs))


@pytest.mark.parametrize("jobs", [1, 2])
def test_after_an_exception_pending_work_is_given_up(tmp_path, jobs):
    paths = [tmp_path / str(number) for number in range(400)]
    with pytest.raises(ValueError, match="the first fails"):
        list(run(touch, paths, jobs))
    assert len(list(tmp_path.iterdir())) < 400


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_death_of_a_worker_is_explained():
    with pytest.raises(OSError, match=r"worker process died.*--jobs 1"):
        list(run(die, [1, 2], 2))


def test_progress_goes_to_stderr(capsys):
    list(parallel_map(square, [1, 2], jobs=1, label="squares"))
    out, err = capsys.readouterr()
    assert out == ""
    assert "squares" in err
    assert "2/2" in err


def test_usable_cores_is_what_the_system_grants():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_workers_end_with_a_killed_parent(tmp_path):
    """A scheduler kills the main process only."""
    code = (
        "import os, sys; from tests.preparation.test_parallel import sleepy; "
        "from grata_monai.preparation.parallel import parallel_map; "
        f"list(parallel_map(sleepy, [{str(tmp_path)!r}] * 2, jobs=2, progress=False))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY)
    for _ in range(600):
        if len(list(tmp_path.iterdir())) == 2:
            break
        time.sleep(0.05)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert len(workers) == 2
    process.kill()
    process.wait()
    for _ in range(200):
        if not any(is_alive(pid) for pid in workers):
            return
        time.sleep(0.05)
    raise AssertionError("workers outlive their parent")


def sleepy(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False
