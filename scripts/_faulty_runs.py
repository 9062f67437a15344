# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Inference commands whose folders, disks, states and weights something is wrong with."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import _runs

_OVERRIDE_PERMISSIONS = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
_DROP_FROM_BOUNDING_SET = 24  # PR_CAPBSET_DROP
_SMALL_DISK, _LARGE_DISK = "600k", "64m"  # the first holds a state, but not a second one beside it
_SMALL_FILE = 100 * 1024
MASKS_BEFORE = 3


@dataclass(frozen=True)
class Row:
    """A fault: what happened, and what was lost ("" is nothing)."""

    fault: str
    happened: str
    lost: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    message: str

    def __str__(self) -> str:
        if self.code < 0:
            return signal.Signals(-self.code).name
        return f"exit {self.code}: {self.message}" if self.message else f"exit {self.code}"


@dataclass
class Lab:
    """A data set, a source model, and what a run without faults makes of them."""

    folder: Path
    data: Path
    weights: Path
    size: int
    expected: dict[str, bytes] = field(default_factory=dict)

    def start(self, output: Path, log: Path, *, prepare=None, **settings: object):
        """Start a command; ``prepare`` is called in its process before it."""
        data, weights = settings.pop("data", self.data), settings.pop("weights", self.weights)
        words = _runs.command(data, weights, output, image_size=self.size, **settings)
        return _runs.start(words, log, preexec_fn=prepare)

    def run(self, output: Path, **settings: object) -> Outcome:
        """Run a command to its end."""
        with self.log() as log:
            return self.outcome(self.start(output, log, **settings), log)

    @contextlib.contextmanager
    def log(self) -> Iterator[Path]:
        path = self.folder / f"{time.monotonic_ns()}.log"
        yield path
        path.unlink(missing_ok=True)

    def outcome(self, process: subprocess.Popen[bytes], log: Path) -> Outcome:
        """Wait for a command and return its exit code and its error, without our folder's name."""
        code, text = process.wait(), log.read_text(errors="replace")
        errors = [line for line in text.splitlines() if line.startswith("Error: ")]
        message = errors[0].removeprefix("Error: ") if errors else ""
        if code > 0 and not errors:
            message = text.splitlines()[-1] if text else "not a word"
        if "Traceback" in text:
            message = f"TRACEBACK {message}"
        return Outcome(code, message.replace(f"{self.folder}/", "").replace("|", "/"))

    def stopped(self, output: Path, how: Callable[[subprocess.Popen[bytes]], object], **settings):
        """Start a command, disturb it after a few masks, and return how it ended."""
        with self.log() as log:
            process = self.start(output, log, **settings)
            while process.poll() is None and len(masks(output)) < MASKS_BEFORE:
                time.sleep(0.01)
            how(process)
            return self.outcome(process, log)

    def lost(self, output: Path) -> str:
        """Return what a finished run lacks."""
        return named(_runs.different(self.expected, _runs.contents(output)))

    def refused(self, fault: str, output: Path, **settings: object) -> Row:
        """Return what became of a run that should be refused: then nothing may have changed."""
        before = everything(output)
        outcome = self.run(output, **settings)
        if outcome.code == 0:
            lost = self.lost(output) or "nothing, by chance: it was not refused"
            return Row(fault, f"{outcome}: went on as if all were well", lost)
        return Row(fault, f"{outcome}", named(_runs.different(before, everything(output))))

    def resumed(self, fault: str, happened: object, output: Path) -> Row:
        """Return what is missing once a run that had a fault has gone on without it."""
        again = self.run(output, resume=True)
        ended = "resumed to the end" if again.code == 0 else f"could not be resumed: {again}"
        return Row(fault, f"{happened}; {ended}", self.lost(output))


def masks(output: Path) -> list[Path]:
    found = (output / "predictions").rglob("*_seg.png")
    return [path for path in found if not path.name.startswith(".")]


def everything(output: Path) -> dict[str, bytes]:
    """Return the files of a run but for halves that a kill left, which the next run removes."""
    found = _runs.contents(output, without=(".lock",)) if output.is_dir() else {}
    return {name: data for name, data in found.items() if "/.partial-" not in f"/{name}"}


def named(files: list[str]) -> str:
    return f"{len(files)} files: {', '.join(files[:3])}" if files else ""


def obey_permissions() -> None:
    """Take from a process of root's what lets it write where it may not."""
    if os.geteuid() == 0:
        library = ctypes.CDLL(None, use_errno=True)
        for capability in _OVERRIDE_PERMISSIONS:
            if library.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")


def folder_faults(lab: Lab) -> Iterator[Row]:
    """Yield what became of runs whose folder cannot be written."""
    output = lab.folder / "a_file"
    output.write_text("mine")
    outcome = lab.run(output)
    yield Row("output path is a file", str(outcome), "" if output.read_text() == "mine" else "it")
    output = lab.folder / "read_only"
    output.mkdir(mode=0o555)
    yield lab.refused("output folder is read-only", output, prepare=obey_permissions)

    output = lab.folder / "frozen"
    outcome = lab.stopped(output, lambda _: permit(output, 0o555), prepare=obey_permissions)
    permit(output, 0o755)
    yield lab.resumed("output folder becomes read-only in mid-run", outcome, output)

    output, second = lab.folder / "shared", []

    def intrude(process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGSTOP)  # or it would be through by then
        second.append(lab.run(output, resume=True))
        process.send_signal(signal.SIGCONT)

    first = lab.stopped(output, intrude)
    yield Row("two runs in one folder", f"second: {second[0]}; first: {first}", lab.lost(output))


def data_faults(lab: Lab) -> Iterator[Row]:
    """Yield what became of a run whose data were away for a while."""
    away, output = lab.data.with_name("away"), lab.folder / "dropped"
    outcome = lab.stopped(output, lambda _: lab.data.rename(away))
    away.rename(lab.data)
    yield lab.resumed("data vanish in mid-run, come back", outcome, output)


def permit(output: Path, mode: int) -> None:
    for folder in (output / "predictions", output):
        folder.chmod(mode)


def disk_faults(lab: Lab) -> Iterator[Row]:
    """Yield what became of runs that ran out of room."""

    def limit() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (_SMALL_FILE, _SMALL_FILE))

    output = lab.folder / "limited"
    outcome = lab.run(output, prepare=limit)
    yield lab.resumed(f"files may have {_SMALL_FILE // 1024} KiB (RLIMIT_FSIZE)", outcome, output)

    fault, output = f"disk full ({_SMALL_DISK} of tmpfs)", lab.folder / "disk"
    output.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK}", "tmpfs", str(output)]
    try:
        subprocess.run(mounting, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield Row(fault, "not tried: mounting a disk is not permitted here")
        return
    try:
        outcome = lab.run(output)
        subprocess.run(["mount", "-o", f"remount,size={_LARGE_DISK}", str(output)], check=True)
        yield lab.resumed(fault, outcome, output)
    finally:
        subprocess.run(["umount", str(output)], check=True)


def state_faults(lab: Lab) -> Iterator[Row]:
    """Yield what became of a killed run that was taken up in several ways."""
    killed = lab.folder / "killed"
    how = lab.stopped(killed, lambda process: process.kill())

    def copy(of: Path, name: str) -> Path:
        return Path(shutil.copytree(of, lab.folder / name))

    tent = {"resume": True, "method": "tent"}
    yield lab.refused("killed, run again without --resume", copy(killed, "again"))
    yield lab.refused("killed, resumed with another method", copy(killed, "tent"), **tent)
    for name, change in {"cut off": _cut_off, "with a flipped bit": _flip_bit}.items():
        output = copy(killed, name)
        change(output / _runs.STATE)
        yield lab.refused(f"killed, state {name}", output, resume=True)
    finished = lab.folder / "expected"
    yield lab.refused("finished, resumed with another method", copy(finished, "other"), **tent)
    others = {"resume": True, "weights": _other_weights(lab)}
    yield lab.refused("finished, resumed with other weights", copy(finished, "source2"), **others)
    for name, mistake in {
        "without its weights": {"weights": lab.folder / "nowhere.pt"},
        "on a device that is not there": {"device": "cuda:77"},
        "without its data": {"data": lab.folder / "nowhere"},
    }.items():
        output = copy(finished, name.replace(" ", "_"))
        yield lab.refused(f"finished, overwritten {name}", output, overwrite=True, **mistake)
    yield lab.resumed("killed, resumed", how, copy(killed, "resumed"))
    output = lab.folder / "terminated"
    how = lab.stopped(output, lambda process: process.send_signal(signal.SIGTERM))
    yield lab.resumed("terminated, resumed", how, output)


def _other_weights(lab: Lab) -> Path:
    import torch

    path, state = lab.folder / "other.pt", torch.load(lab.weights, weights_only=True)
    next(iter(state.values())).mul_(1.01)
    torch.save(state, path)
    return path


def _cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def _flip_bit(path: Path) -> None:
    """Flip a bit within the numbers of a tensor, where no format notices it."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        tensors = [member for member in archive.infolist() if "/data/" in member.filename]
        largest = max(tensors, key=lambda member: member.file_size)
    data = bytearray(path.read_bytes())
    at = data.index(zipfile.ZipFile(path).read(largest), largest.header_offset)
    data[at + largest.file_size // 2] ^= 0x40
    path.write_bytes(data)
