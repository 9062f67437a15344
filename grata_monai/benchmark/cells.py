# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Run one cell, image by image, and go on after a kill as if nothing had happened."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock, Timeout

from grata_monai.benchmark.cell_state import forget_state, resume_cell, save_cell
from grata_monai.benchmark.grid import Cell
from grata_monai.benchmark.images import ImageWorker
from grata_monai.benchmark.methods import build_method
from grata_monai.benchmark.run_folder import (
    Row,
    RunFolder,
    error_line,
    read_json,
    read_text_rows,
    write_json,
)
from grata_monai.benchmark.sources import load_source
from grata_monai.benchmark.streams import StreamImage
from grata_monai.execution import kept_memory

SAVE_EVERY = 8
SAVE_AFTER_SECONDS = 20.0
SAVE_SHARE = 20.0
"""A save that takes more than a second is waited for so many times as long until the next one."""
LOCK_SECONDS = 180.0
"""A process that was given up may go on so long; a network file system may take 90 s to notice."""

Status = Literal["complete", "failed", "started"]


@dataclass(frozen=True, kw_only=True)
class CellTask:
    """All that a process needs to run a cell.

    Args:
        cell: The cell.
        run: The run's folder.
        adapter: Id of the method.
        options: Arguments of the method.
        weights: The source model's file.
        stream: The images in order, each with its round.
        image_size: Side of the network's input in pixels.
        roi_size: Side of the region around the disc in pixels of the photograph.
        device: Where to compute.
        fingerprint: What the cell's rows depend on, as JSON holds it.
        pictures: Whether to keep pictures and predictions.
        diagnostics: Whether to compare gradients with those of the labels.
        save_every: Rows and state are saved after so many images.
    """

    cell: Cell
    run: Path
    adapter: str
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: str
    stream: list[tuple[int, StreamImage]]
    image_size: int
    roi_size: int
    device: str = "cpu"
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    pictures: bool = True
    diagnostics: bool = False
    save_every: int = SAVE_EVERY

    @property
    def folder(self) -> Path:
        """The cell's folder."""
        return RunFolder(self.run).cell(self.cell.id)


@dataclass(frozen=True)
class CellOutcome:
    """How a cell ended.

    Args:
        cell: Its id.
        status: Whether it went through; single images may have failed all the same.
        images: Images that have a row.
        failed_images: Those of them that have an error instead of scores.
        error: Why the cell failed, or "".
    """

    cell: str
    status: Status
    images: int
    failed_images: int = 0
    error: str = ""


def run_cell(task: CellTask, *, on_image: Callable[[], None] = lambda: None) -> CellOutcome:
    """Run a cell to its end, from where an earlier run of it stopped.

    Every few images the rows and the method's whole state are written. Going on from there gives
    the very same numbers as a run without interruption (but for seconds and memory), given the same
    device, library versions and number of threads. A cell that is complete stays as it is: another
    process, given up for lost, may have brought it to its end.

    Args:
        task: The cell.
        on_image: Called after each image.

    Returns:
        How it ended; no exception of a method, a network or an image passes.
    """
    try:
        task.folder.mkdir(parents=True, exist_ok=True)
        # no leading dot: such files in the folder are what a kill left
        with FileLock(task.folder / "cell.lock", timeout=LOCK_SECONDS):
            return _run_alone(task, on_image)
    except Timeout:
        error = (
            f"Another process has been writing this cell for {LOCK_SECONDS:.0f} s. End it, then "
            "run the same command again."
        )
        return CellOutcome(task.cell.id, "failed", images_done(task.folder), error=error)
    except OSError as error:
        return fail_cell(task, error_line(error))


def _run_alone(task: CellTask, on_image: Callable[[], None]) -> CellOutcome:
    """Run a cell that no other process writes."""
    try:
        if is_complete(task.folder):
            rows = read_text_rows(task.folder / "rows.csv")
        else:
            _write_status(task, "started")
            with kept_memory():  # given back after the cell, so that the next one's peak is its own
                rows = _Runner(task, on_image).run()
            _write_status(task, "complete", images=len(rows))
    except Exception as error:
        return fail_cell(task, error_line(error))
    forget_state(task.folder)
    failed = sum(bool(row["error"]) for row in rows)
    return CellOutcome(task.cell.id, "complete", len(rows), failed)


def fail_cell(task: CellTask, error: str) -> CellOutcome:
    """Write down that a cell failed, and return that; what it has of rows and state stays.

    Where the folder cannot be written (a full disk) the outcome alone says so.

    Args:
        task: The cell.
        error: Why, in one line.
    """
    with suppress(OSError):
        _write_status(task, "failed", error=error)
    return CellOutcome(task.cell.id, "failed", images_done(task.folder), error=error)


def images_done(folder: Path) -> int:
    """Return how many images of a cell have their final row.

    Args:
        folder: The cell's folder.
    """
    return len(read_text_rows(folder / "rows.csv"))


def is_complete(folder: Path) -> bool:
    """Tell whether a cell has gone through, and its rows are all there.

    Args:
        folder: The cell's folder.
    """
    cell = read_json(folder / "cell.json") or {}
    return cell.get("status") == "complete" and images_done(folder) == cell.get("images")


class _Runner:
    """The loop over the images of a cell.

    Args:
        task: The cell.
        on_image: Called after each image.
    """

    def __init__(self, task: CellTask, on_image: Callable[[], None]) -> None:
        self.task = task
        self.on_image = on_image
        self.rows: list[Row] = []
        self.adapter = build_method(
            task.adapter, task.options, seed=task.cell.seed, protocol=task.cell.protocol
        )

    def run(self) -> list[Row]:
        """Run all images that have no row yet."""
        task = self.task
        network = load_source(task.weights, self.adapter, task.device)
        worker = ImageWorker(
            adapter=self.adapter,
            run=task.run,
            cell=task.cell,
            adapter_id=task.adapter,
            image_size=task.image_size,
            roi_size=task.roi_size,
            device=torch.device(task.device),
            pictures=task.pictures,
            diagnostics=task.diagnostics,
        )
        with self.adapter.bound(network):
            self.rows = resume_cell(task.folder, self.adapter, task.device)
            saved_at, pause = time.monotonic(), 0.0
            for position in range(len(self.rows), len(task.stream)):
                number, image = task.stream[position]
                self.rows.append(worker.run(image, number=number, position=position))
                since = time.monotonic() - saved_at
                due = (position + 1) % task.save_every == 0 or since > SAVE_AFTER_SECONDS
                if due and since >= pause:
                    begin = time.monotonic()
                    save_cell(task.folder, self.rows, self.adapter)
                    saved_at = time.monotonic()
                    pause = SAVE_SHARE * (saved_at - begin - 1.0)
                self.on_image()
            save_cell(task.folder, self.rows, self.adapter)
        return self.rows


def _write_status(task: CellTask, status: Status, **more: Any) -> None:
    path = task.folder / "cell.json"
    content = {
        "id": task.cell.id,
        "status": status,
        "total": len(task.stream),
        "options": json.loads(json.dumps(dict(task.options))),
        "fingerprint": dict(task.fingerprint),
        **more,
    }
    write_json(path, content)
