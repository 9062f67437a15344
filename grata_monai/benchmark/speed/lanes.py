# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""One path of a method at one size, in a race with the others."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import cast

import torch
from torch import Tensor

from grata_monai.adapters import Adapter
from grata_monai.benchmark.run_folder import error_line
from grata_monai.benchmark.speed.clock import Clock
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
        is_open: Whether there is something to time.
        logits: Of the warm-up's images, in float32 on the CPU.
        is_episodic: Whether the method begins at the source with every image.
        draws: Whether the method drew random numbers in the warm-up.
    """

    def __init__(self, row: Row, path: Path, images: Images | None, clock: Clock | None) -> None:
        self.row = row
        self.path = path
        self.is_open = False
        self.logits: list[Tensor] = []
        self.is_episodic = False
        self.draws = False
        self._images = cast("Images", images)
        self._clock = cast("Clock", clock)
        self._runner: Runner | None = None
        self._stack = ExitStack()

    def open(self, runner: AbstractContextManager[Runner]) -> None:
        """Make ready what is to be timed."""

        def enter() -> None:
            self._runner = self._stack.enter_context(runner)
            self.is_open = True

        self._guarded(enter)

    def close(self) -> None:
        """Give back the network and what belongs to it."""
        self.is_open = False
        self._runner = None
        self._stack.close()

    def settle(self) -> None:
        """Wait until it is ready."""

    def warm_up(self, number: int) -> None:
        """Make a step that is not timed, but shows how much memory it takes."""
        self._run("_warm_up", number)

    def time(self, number: int) -> None:
        """Make a step that is timed."""
        self._run("_time", number)

    def time_stages(self, number: int) -> None:
        """Make a step whose stages are timed, with the reading of its images."""
        self._run("_time_stages", number)

    def count_operations(self, number: int) -> None:
        """Make a step whose operations are counted."""
        self._run("_count_operations", number)

    def _run(self, action: str, number: int) -> None:
        """Do something with the runner, if there still is one."""
        runner = self._runner
        if runner is not None:
            self._guarded(lambda: getattr(self, action)(runner, number))

    def _warm_up(self, runner: Runner, number: int) -> None:
        images = self._images.batch(number, self.path.batch)
        used, logits = memory_above_idle(self._clock.device, lambda: runner.step(images))
        if math.isnan(self.row.memory_mib):
            self.row.memory_mib = used  # later ones find what the first one has taken
        self.logits.append(logits.detach().float().cpu())
        if isinstance(runner.method, Adapter):
            state: Tensor = runner.method.state_dict()["generator"]
            fresh = torch.Generator().manual_seed(runner.method.seed).get_state()
            self.draws = not torch.equal(state, fresh)
            self.is_episodic = runner.method.life_cycle == "per_image"

    def _time(self, runner: Runner, number: int) -> None:
        images = self._images.batch(number, self.path.batch)
        gc.collect()
        seconds, _ = self._clock.time(lambda: runner.step(images))
        self.row.seconds.append(seconds / self.path.batch)

    def _time_stages(self, runner: Runner, number: int) -> None:
        self._images.batch(number, self.path.batch)  # files are in the system's cache now
        stages = StageClock(self._clock.now)
        seen = watched(stages, runner, passes=not self.path.compile)
        with seen, stages.running():
            with stages.stage("I/O"):
                images = self._images.read(number, self.path.batch)
            runner.step(images)
        self.row.stages = {n: s / self.path.batch for n, s in stages.seconds.items()}

    def _count_operations(self, runner: Runner, number: int) -> None:
        images = self._images.batch(number, self.path.batch)
        operations = floating_point_operations(lambda: runner.step(images))
        self.row.operations = operations / self.path.batch

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do something; if it fails, tell so and close the lane."""
        try:
            action()
        except NotOfferedError as reason:
            self.row.note = str(reason)
            self.close()
        except Exception as error:
            self.row.failed, self.row.note = True, f"failed: {error_line(error)}"
            self.close()
