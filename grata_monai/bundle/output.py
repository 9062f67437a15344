# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The folder for results: one run at a time, and nothing replaced that nobody gave up."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout
from torch import distributed

from grata_monai._checks import check_flag
from grata_monai._files import remove_partial_files
from grata_monai.bundle.data import checked_path
from grata_monai.bundle.guard import exits_on_user_error
from grata_monai.handlers.gathering import gathered, is_distributed, is_first

_STATE = ".state.pt"
_PICTURES = tuple(f"predictions/**/*_{end}" for end in ("seg.png", "seg.nii.gz", "overlay.png"))
_RESULTS = (
    "settings.json",
    "trace.csv",
    "timing.csv",
    "skipped.csv",
    "metrics.csv",
    "val_*_raw.csv",
    f"*{_STATE}",
    *_PICTURES,
)
_BEFORE_STATE = ("settings.json", "trace.csv", "timing.csv")  # without rows as yet
_held: dict[Path, FileLock] = {}  # a run that failed in this process does not bar the next one


@exits_on_user_error
def claim_output(
    output_dir: str | os.PathLike[str], *, resume: bool = False, overwrite: bool = False
) -> None:
    """Take a folder for the results of this run; what there is in it stays.

    Of a distributed run the first process does it, and all of them learn if it fails.

    Args:
        output_dir: The folder; made if needed.
        resume: Whether to go on with what an earlier run has left there; from the start if it was
            stopped before it saved a state.
        overwrite: Whether to start anew where there are results (``clear_output``).

    Raises:
        OSError: If the folder cannot be written.
        ValueError: If another run is using it, it holds results and neither is asked for, or there
            is nothing to go on from.
    """
    folder = checked_path(output_dir, "output_dir")
    check_flag("the bundle", "resume", resume)
    check_flag("the bundle", "overwrite", overwrite)
    if resume and overwrite:
        raise ValueError("'resume' goes on with results, 'overwrite' gives them up; choose one.")

    def claim() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        _lock(folder)
        _remove_half_written(folder)
        if resume:
            _check_processes(folder)
            _check_state(folder)
        elif not overwrite:
            _check_empty(folder)

    _in_first_process(claim)


@exits_on_user_error
def clear_output(output_dir: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Remove the results of an earlier run, tables and pictures, if they are given up.

    Comes after everything that can be checked, so that no mistake in a command costs results.

    Args:
        output_dir: The folder, claimed.
        overwrite: Whether to.

    Raises:
        OSError: If they cannot be removed.
    """
    folder = checked_path(output_dir, "output_dir")

    def clear() -> None:
        for path in _results_in(folder):
            path.unlink()

    if overwrite:
        _in_first_process(clear)


def state_path(output_dir: str | os.PathLike[str]) -> Path:
    """Return the file that holds the state of this process's part of a run.

    Args:
        output_dir: Folder for results.
    """
    return Path(output_dir) / _state_names()[distributed.get_rank() if is_distributed() else 0]


def release_output(output_dir: str | os.PathLike[str] | None = None) -> None:
    """Let other runs have a folder again.

    Args:
        output_dir: The folder; None for all that this process has claimed.
    """
    held = list(_held) if output_dir is None else [Path(output_dir).resolve()]
    for folder in held:
        lock = _held.pop(folder, None)
        if lock is not None:
            lock.release()


def _lock(folder: Path) -> None:
    key = folder.resolve()
    if key in _held:
        return
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ValueError(
            f"Another run is writing to {folder}; wait for it, or give another folder."
        ) from error
    _held[key] = lock


def _in_first_process(do: Callable[[], None]) -> None:
    """Let the first process do something while the others wait; if it fails, it does in all."""
    failures: list[Exception] = []
    if is_first():
        try:
            do()
        except (OSError, ValueError) as error:
            failures.append(error)
    for failure in gathered(failures):
        raise failure


def _remove_half_written(folder: Path) -> None:
    """Remove what a run that was killed left; other folders in this one may be another run's."""
    for place in (folder, *_folders_of_pictures(folder)):
        remove_partial_files(place)


def _folders_of_pictures(folder: Path) -> list[Path]:
    pictures = folder / "predictions"
    return [pictures, *(path for path in pictures.rglob("*") if path.is_dir())]


def _results_in(folder: Path) -> list[Path]:
    found = (path for pattern in _RESULTS for path in folder.glob(pattern))
    return sorted(path for path in found if path.is_file())


def _check_empty(folder: Path) -> None:
    found = _results_in(folder)
    if found:
        raise ValueError(
            f"{folder} holds the results of an earlier run ({found[0].name}). Go on with it "
            "(--resume), replace it (--overwrite), or give another folder."
        )


def _check_state(folder: Path) -> None:
    """Check that results have a state to go on from; it is there before any of them."""
    if any(folder.glob(f"*{_STATE}")):
        return
    found = [path for path in _results_in(folder) if path.name not in _BEFORE_STATE]
    if found:
        raise ValueError(
            f"{folder} holds results ({found[0].name}) but no state of their run to go on from. "
            "Replace them (--overwrite), or give another folder."
        )


def _check_processes(folder: Path) -> None:
    """Check that what there is to go on with is of as many processes."""
    others = {path.name for path in folder.glob(f"*{_STATE}")} - set(_state_names())
    if others:
        raise ValueError(
            f"{folder} holds a run of another number of processes ({min(others)}); go on with as "
            "many, or start anew (--overwrite)."
        )


def _state_names() -> list[str]:
    """Return the names of the states of all processes of this run."""
    if not is_distributed():
        return [f"run{_STATE}"]
    count = distributed.get_world_size()
    return [f"run.{part}-of-{count}{_STATE}" for part in range(1, count + 1)]
