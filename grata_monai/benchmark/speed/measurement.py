# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The measurement: all paths of a method, in turns."""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn
from tqdm import tqdm

from grata_monai.benchmark.plan import usable_device
from grata_monai.benchmark.run_folder import error_line
from grata_monai.benchmark.speed.apart import LaneApart, LaneTask
from grata_monai.benchmark.speed.clock import Clock, Timer
from grata_monai.benchmark.speed.differences import note_differences
from grata_monai.benchmark.speed.hardware import Hardware
from grata_monai.benchmark.speed.inputs import Images, items_of, make_source
from grata_monai.benchmark.speed.lanes import Lane
from grata_monai.benchmark.speed.paths import Path
from grata_monai.benchmark.speed.report import Report
from grata_monai.benchmark.speed.request import Request
from grata_monai.benchmark.speed.roofline import matmul_peak
from grata_monai.benchmark.speed.rows import Row
from grata_monai.benchmark.speed.runners import runner_of
from grata_monai.data import FundusItem
from grata_monai.execution import Precision

Advance = Callable[[int], object]

_MOST_IMAGES = 8
"""So many different ones are enough; then they come again."""


def measure(
    request: Request,
    *,
    progress: bool = False,
    so_far: Callable[[Report], None] | None = None,
    timer: Timer = time.perf_counter,
    apart: bool = True,
) -> Report:
    """Time methods on paths, in rounds in which every path has its turn once.

    Args:
        request: What to measure.
        progress: Whether to show a bar.
        so_far: Called with what there is after each method and size.
        timer: Where the seconds come from.
        apart: Whether each path runs in a process of its own, so that none finds memory that
            another one has made ready; one computes at a time all the same. Without it freed
            memory is treated alike on all paths.

    Raises:
        FileNotFoundError: If images or weights are missing.
        ValueError: If the device, the images or the weights cannot be used.
    """
    if request.weights is not None and not os.path.isfile(request.weights):
        raise FileNotFoundError(f"There is no source model {os.fspath(request.weights)}.")
    device = torch.device(usable_device(request.device))
    measurement = _Measurement(request, Clock(device, timer), apart=apart)
    gc.freeze()  # what the process holds so far is not searched for garbage before each step
    try:
        return measurement.run(progress=progress, so_far=so_far or (lambda report: None))
    finally:
        gc.unfreeze()


class _Measurement:
    """One measurement.

    Args:
        request: What to measure.
        clock: Of the device.
        apart: Whether each path runs in a process of its own.
    """

    def __init__(self, request: Request, clock: Clock, *, apart: bool = True) -> None:
        self.request = request
        self.clock = clock
        self._apart = apart
        self._order = random.Random(request.seed)

    def run(self, *, progress: bool, so_far: Callable[[Report], None]) -> Report:
        request = self.request
        count = min(_MOST_IMAGES, request.warmup + request.repeats)
        report = Report(Hardware.of(self.clock.device))
        total = len(request.method_names) * len(request.sizes) * (request.warmup + request.repeats)
        files = items_of(
            request.images,
            domain=request.domain,
            count=count,
            size=max(request.sizes),
            seed=request.seed,
        )
        with files as items, tqdm(total=total, unit="round", disable=not progress) as bar:
            peaks = {precision: matmul_peak(self.clock, precision) for precision in self._used()}
            for method in request.method_names:
                for size in request.sizes:
                    bar.set_description(f"{method} {size} px")
                    rows = self._measure(method, size, items, bar.update)
                    for row, path in zip(rows, request.parsed_paths, strict=True):
                        row.peak = peaks[self._precision(path)]
                    report.rows += rows
                    so_far(report)
        return report

    def _measure(
        self, method: str, size: int, items: Sequence[FundusItem], advance: Advance
    ) -> list[Row]:
        """Return the rows of a method at a size."""
        request = self.request
        rounds = request.warmup + request.repeats
        rows = [Row(method, size, path.name) for path in request.parsed_paths]
        try:
            source = make_source(method, request.weights, seed=request.seed)
        except ValueError as error:
            for row in rows:
                row.failed, row.note = True, f"failed: {error_line(error)}"
            advance(rounds)
            return rows
        images = Images(items, size=size, roi_size=request.roi_size, device=self.clock.device)
        lanes: list[Lane] = []
        try:
            for row, path in zip(rows, request.parsed_paths, strict=True):
                lanes.append(self._lane(row, path, source, images))
            self._warm_up(lanes, advance)
            note_differences(method, lanes, images, source, self.clock.device, seed=request.seed)
            self._race(lanes, advance)
            self._look_closer(lanes)
        finally:
            for lane in lanes:
                lane.close()
            if any(path.compile for path in request.parsed_paths):
                torch.compiler.reset()  # it gives up after a few networks of a kind
        return rows

    def _lane(self, row: Row, path: Path, source: nn.Module, images: Images) -> Lane:
        """Return an open lane, here or in a process of its own."""
        device, seed = self.clock.device, self.request.seed
        if self._apart:
            task = LaneTask(
                method=row.method,
                path=path,
                source=source,
                items=images.items,
                size=row.size,
                roi_size=self.request.roi_size,
                device=device,
                seed=seed,
            )
            return LaneApart(row, task)
        lane = Lane(row, path, images, self.clock)
        lane.open(runner_of(row.method, path, source, device, seed=seed))
        return lane

    def _warm_up(self, lanes: Sequence[Lane], advance: Advance) -> None:
        for lane in lanes:
            lane.settle()
        for number in range(self.request.warmup):
            for lane in lanes:
                lane.warm_up(number)
            advance(1)

    def _race(self, lanes: Sequence[Lane], advance: Advance) -> None:
        """Time all lanes in rounds, each time in another order."""
        for number in range(self.request.repeats):
            order = list(lanes)
            self._order.shuffle(order)
            for lane in order:
                lane.time(self.request.warmup + number)
            advance(1)
        for textbook in (lane for lane in lanes if lane.path.is_textbook):
            for lane in lanes:
                lane.row.baseline = list(textbook.row.seconds)

    def _look_closer(self, lanes: Sequence[Lane]) -> None:
        """Measure what would disturb the race: stages, and how many operations there are."""
        number = self.request.warmup + self.request.repeats
        if self.request.stages:
            for lane in lanes:
                lane.time_stages(number)
        plain = [lane for lane in lanes if lane.is_open and _runs_plainly(lane.path)]
        # The package's own first: those are the operations that are needed.
        for lane in sorted(plain, key=lambda lane: lane.path.is_textbook)[:1]:
            lane.count_operations(number)
            for other in lanes:
                other.row.operations = lane.row.operations

    def _used(self) -> set[Precision]:
        return {self._precision(path) for path in self.request.parsed_paths}

    def _precision(self, path: Path) -> Precision:
        """Return the precision of a path; textbooks have what torch does by itself."""
        device = self.clock.device
        if device.type != "cuda":
            return "bf16" if path.precision_on(device) == "bf16" else "fp32"
        return "tf32" if path.is_textbook else path.precision_on(device)


def _runs_plainly(path: Path) -> bool:
    return path.batch == 1 and not (path.compile or path.checkpoint)
