# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Run cells in several processes; one that dies takes nothing but its own cell with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch

from grata_monai.benchmark.cells import CellOutcome, CellTask, fail_cell, run_cell
from grata_monai.benchmark.engines import longest_first
from grata_monai.preparation.parallel import usable_cores


def run_cells(
    tasks: Sequence[CellTask], *, jobs: int = 1, on_image: Callable[[], None] = lambda: None
) -> Iterator[CellOutcome]:
    """Yield how each cell ended, as they end.

    Args:
        tasks: The cells.
        jobs: Processes; with one, this process does the work. The cores are divided among them.
        on_image: Called after each image, in this process.
    """
    if jobs == 1 or len(tasks) < 2:
        for task in tasks:
            yield run_cell(task, on_image=on_image)
        return
    waiting = longest_first(tasks)
    threads = max(1, usable_cores() // jobs)
    workers = [_Worker.start(threads) for _ in range(min(jobs, len(tasks)))]
    try:
        while waiting or any(worker.task for worker in workers):
            for index, worker in enumerate(workers):
                if worker.task is None and waiting:
                    if not worker.process.is_alive():
                        workers[index] = worker = _Worker.start(threads)
                    worker.give(waiting.pop(0))
            yield from _listen([w for w in workers if w.task], on_image)
    finally:
        for worker in workers:
            worker.stop()


@dataclass
class _Worker:
    """A process that runs the cells it is given.

    Args:
        process: The process.
        connection: Our end of the pipe.
        task: What it is working on.
    """

    process: BaseProcess
    connection: Connection
    task: CellTask | None = None

    @classmethod
    def start(cls, threads: int) -> _Worker:
        # spawned, not forked: the same on every system, and no thread's lock is copied
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, threads), daemon=True)
        process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        return cls(process, ours)

    def give(self, task: CellTask) -> None:
        """Hand over a cell; a process that died meanwhile is noticed when listening."""
        self.task = task
        try:
            self.connection.send(task)
        except OSError:
            return

    def stop(self) -> None:
        """End the process; rows and state that it has saved stay."""
        self.connection.close()
        self.process.terminate()
        self.process.join()


def _listen(workers: Sequence[_Worker], on_image: Callable[[], None]) -> Iterator[CellOutcome]:
    """Take in what the processes say; yield the cells that have ended."""
    by_connection = {worker.connection: worker for worker in workers}
    for connection in wait(list(by_connection)):
        worker = by_connection[connection]  # type: ignore[index]
        try:
            said = worker.connection.recv()
        except (EOFError, OSError):
            yield _died(worker)
            continue
        if isinstance(said, CellOutcome):
            worker.task = None
            yield said
        else:
            on_image()


def _died(worker: _Worker) -> CellOutcome:
    task = worker.task
    worker.task = None
    worker.process.join()
    code = worker.process.exitcode or 0
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    error = (
        f"Its process died ({how}), perhaps for lack of memory. Run the same command again to go "
        "on with it, with fewer processes (--jobs 1) if need be."
    )
    if task is None:
        raise RuntimeError(error)
    return fail_cell(task, error)


def _work(connection: Connection, threads: int) -> None:
    """Run cells until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)

    def tell() -> None:
        with suppress(OSError):  # nobody listens any more; this process is about to be ended
            connection.send(None)

    try:
        while True:
            task = connection.recv()
            connection.send(run_cell(task, on_image=tell))
    except (EOFError, OSError):  # the main process is gone or wants no more
        return


def _end_with_parent() -> None:
    """End this process at once when the main process dies, so that the next run is alone.

    Files are written all or not at all, so nothing is half done.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
