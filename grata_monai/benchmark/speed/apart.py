# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A lane in a process of its own, whose memory is as it would be without the others.

What one path leaves on the heap of a process serves the next one: those that leave memory to the
system would be spared the very work that is to be measured.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch
from torch import Tensor, nn

from grata_monai.benchmark.speed.clock import Clock
from grata_monai.benchmark.speed.inputs import Images
from grata_monai.benchmark.speed.lanes import Lane
from grata_monai.benchmark.speed.paths import Path
from grata_monai.benchmark.speed.rows import Row
from grata_monai.benchmark.speed.runners import runner_of
from grata_monai.data import FundusItem
from grata_monai.execution import keep_freed_memory

_MEASURED_THERE = ("seconds", "memory_mib", "operations", "stages", "note", "failed")
"""The rest of a row is written where all lanes are known."""


@dataclass(frozen=True, kw_only=True)
class LaneTask:
    """All that a process needs to run a lane.

    Args:
        method: The method's id.
        path: The path.
        source: The source network.
        items: Files of the stream.
        size: Side of the network's input in pixels.
        roi_size: Side of the region around the disc in pixels of the photograph.
        device: Where to compute.
        seed: Seed of the method.
    """

    method: str
    path: Path
    source: nn.Module
    items: Sequence[FundusItem]
    size: int
    roi_size: int
    device: torch.device
    seed: int

    def open(self) -> Lane:
        """Return the lane, opened."""
        images = Images(self.items, size=self.size, roi_size=self.roi_size, device=self.device)
        row = Row(self.method, self.size, self.path.name)
        lane = Lane(row, self.path, images, Clock(self.device))
        lane.open(runner_of(self.method, self.path, self.source, self.device, seed=self.seed))
        return lane


class LaneApart(Lane):
    """A lane whose steps are made by another process, which waits while it is not its turn.

    Args:
        row: Where the numbers go.
        task: What the process does.
    """

    def __init__(self, row: Row, task: LaneTask) -> None:
        super().__init__(row, task.path, images=None, clock=None)
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, torch.get_num_threads())
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self.is_open = True
        self._exchange(lambda: self._connection.send(pickle.dumps(task)))

    def settle(self) -> None:
        """Wait until the process is ready; several start side by side."""
        self._exchange(self._take_over)

    def close(self) -> None:
        """End the process."""
        self.is_open = False
        self._connection.close()
        self._process.join()

    def _run(self, action: str, number: int) -> None:
        self._exchange(lambda: self._connection.send((action, number)))
        self._exchange(self._take_over)

    def _take_over(self) -> None:
        """Wait for what came of the last order, and take it over."""
        row, self.logits, self.is_open, self.is_episodic, self.draws = self._connection.recv()
        for name in _MEASURED_THERE:
            setattr(self.row, name, getattr(row, name))
        if not self.is_open:
            self.close()

    def _exchange(self, action: Callable[[], None]) -> None:
        """Talk to the process, if there still is one."""
        if not self.is_open:
            return
        try:
            action()
        except (EOFError, OSError):
            self.row.failed, self.row.note = True, "failed: its process died, perhaps of memory"
            self.close()


def _serve(connection: Connection, threads: int) -> None:
    """Be a lane until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process
    torch.set_num_threads(threads)
    try:
        task: LaneTask = pickle.loads(connection.recv())  # of our own process
        if task.path.keep:
            keep_freed_memory()
        lane = task.open()
        connection.send(_state(lane))
        while True:
            action, number = connection.recv()
            lane._run(action, number)
            connection.send(_state(lane))
    except (EOFError, OSError):  # the main process is gone or wants no more
        return


def _state(lane: Lane) -> tuple[Row, list[Tensor], bool, bool, bool]:
    return lane.row, lane.logits, lane.is_open, lane.is_episodic, lane.draws
