# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""One path of a method at one size, in a race with the others."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from torch import Tensor

from grata_monai.benchmark.run_folder import one_line
from grata_monai.benchmark.speed.clock import Clock
from grata_monai.benchmark.speed.heap import heap
from grata_monai.benchmark.speed.inputs import Images
from grata_monai.benchmark.speed.memory import memory_above_idle
from grata_monai.benchmark.speed.paths import Path
from grata_monai.benchmark.speed.roofline import floating_point_operations
from grata_monai.benchmark.speed.rows import Row
from grata_monai.benchmark.speed.runners import NotOfferedError, Runner
from grata_monai.benchmark.speed.stages import StageClock
from grata_monai.benchmark.speed.watching import watched


class Lane:
    """One path of a method at one size: its steps, and the row that tells of them.

    What fails is told by the row, and the lane is closed; the others go on. Numbers from before
    stay.

    Args:
        row: Where the numbers go.
        path: The path.
        images: The stream.
        clock: Of the device.

    Attributes:
        runner: What is timed; None before ``open`` and after the lane is closed.
        logits: Of the warm-up's images, in float32 on the CPU.
    """

    def __init__(self, row: Row, path: Path, images: Images, clock: Clock) -> None:
        self.row = row
        self.path = path
        self.runner: Runner | None = None
        self.logits: list[Tensor] = []
        self._images = images
        self._clock = clock
        self._stack = ExitStack()
        self._filled_mib = 0.0

    def open(self, runner: AbstractContextManager[Runner]) -> None:
        """Make ready what is to be timed."""

        def enter() -> None:
            self.runner = self._stack.enter_context(runner)

        self._guarded(enter)

    def close(self) -> None:
        """Give back the network and what belongs to it."""
        self.runner = None
        self._stack.close()

    def warm_up(self, number: int) -> None:
        """Make a step that is not timed, but shows how much memory it takes."""

        def step(runner: Runner) -> None:
            images = self._images.batch(number, self.path.batch)
            with heap(keep=self.path.keep):
                used, logits = memory_above_idle(self._clock.device, lambda: runner.step(images))
            self.row.memory_mib = used
            if self._clock.device.type == "cpu" and used > self._filled_mib:
                self._filled_mib = used
            self.logits.append(logits.detach().float().cpu())

        self._run(step)

    def time(self, number: int) -> None:
        """Make a step that is timed."""

        def step(runner: Runner) -> None:
            images = self._images.batch(number, self.path.batch)
            gc.collect()
            with heap(keep=self.path.keep, filled_mib=self._filled_mib):
                seconds, _ = self._clock.time(lambda: runner.step(images))
            self.row.seconds.append(seconds / self.path.batch)

        self._run(step)

    def time_stages(self, number: int) -> None:
        """Make a step whose stages are timed, with the reading of its images."""

        def step(runner: Runner) -> None:
            self._images.batch(number, self.path.batch)  # files are in the system's cache now
            stages = StageClock(self._clock.now)
            kept = heap(keep=self.path.keep, filled_mib=self._filled_mib)
            with kept, watched(stages, runner, passes=not self.path.compile), stages.running():
                with stages.stage("I/O"):
                    images = self._images.read(number, self.path.batch)
                runner.step(images)
            self.row.stages = {n: s / self.path.batch for n, s in stages.seconds.items()}

        self._run(step)

    def count_operations(self, number: int) -> None:
        """Make a step whose operations are counted."""

        def step(runner: Runner) -> None:
            images = self._images.batch(number, self.path.batch)
            operations = floating_point_operations(lambda: runner.step(images))
            self.row.operations = operations / self.path.batch

        self._run(step)

    def _run(self, step: Callable[[Runner], None]) -> None:
        runner = self.runner
        if runner is not None:
            self._guarded(lambda: step(runner))

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do something; if it fails, tell so and close the lane."""
        try:
            action()
        except NotOfferedError as reason:
            self.row.note = str(reason)
            self.close()
        except Exception as error:
            self.row.failed, self.row.note = True, f"failed: {one_line(error)}"
            self.close()
