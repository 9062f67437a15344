# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Run cells on a Ray cluster: a lost worker or node costs the images since the last save.

The driver (this process) hands out cells and learns how they end; what they find goes to the run's
folder, which all nodes share. Nothing else is sent but the cells' lists of files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from grata_monai._checks import check_number
from grata_monai.benchmark.cells import (
    CellOutcome,
    CellTask,
    fail_cell,
    images_done,
    is_complete,
)
from grata_monai.benchmark.engines import Engine, longest_first
from grata_monai.benchmark.ray_connection import check_fits, connected
from grata_monai.benchmark.ray_worker import SEEN_SECONDS, NodeError, Shared, Told, work

RETRIES = 5
"""How often a cell may lose its worker; each time it goes on where its state was saved."""
_LOOK_SECONDS = 0.5
_STOP_SECONDS = 10.0
_logger = logging.getLogger(__name__)


@contextmanager
def ray_engine(
    *, address: str | None = None, cpus_per_cell: int = 1, gpus_per_cell: float = 0.0
) -> Iterator[Engine]:
    """Yield an engine that runs cells on a Ray cluster; see ``connected`` for addresses.

    Args:
        address: Where the cluster is.
        cpus_per_cell: CPUs that a cell takes, and threads that it computes with, >= 1.
        gpus_per_cell: GPUs that a cell takes, or its share of one, >= 0.

    Raises:
        ValueError: If there is no such cluster, or no node of it that is large enough.
    """
    check_number("ray_engine", "cpus_per_cell", cpus_per_cell, minimum=1, integer=True)
    check_number("ray_engine", "gpus_per_cell", gpus_per_cell, minimum=0)
    with connected(address) as ray:
        check_fits(ray, cpus=cpus_per_cell, gpus=gpus_per_cell)
        yield partial(_run_cells, ray, cpus_per_cell, gpus_per_cell)


def _run_cells(
    ray: Any,
    cpus: int,
    gpus: float,
    tasks: Sequence[CellTask],
    *,
    on_image: Callable[[], None] = lambda: None,
) -> Iterator[CellOutcome]:
    if not tasks:
        return
    told = _actor(ray)
    # max_retries is for workers and nodes that are lost; an exception would come back at once
    remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(work)
    shared = Shared.of(tasks[0].run.absolute())
    running = {
        remote.remote(_absolute(task), shared, cpus, told): task for task in longest_first(tasks)
    }
    progress = _Progress(ray, told, tasks, on_image)
    try:
        while running:
            ended, _ = ray.wait(list(running), timeout=_LOOK_SECONDS)
            progress.look()
            for reference in ended:
                task = running.pop(reference)
                outcome = _outcome(ray, reference, task)
                _await_files(task, outcome)
                progress.reach(outcome.cell, outcome.images)
                yield outcome
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=_STOP_SECONDS)
        ray.kill(told)


def _actor(ray: Any) -> Any:
    """Start what workers talk to: on this node and no other, whose loss would take it along."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy=here)(Told)
    return actor.remote()


def _absolute(task: CellTask) -> CellTask:
    """Return a task whose paths do not depend on a working folder."""
    weights = str(Path(task.weights).absolute())
    return replace(task, run=task.run.absolute(), weights=weights)


def _outcome(ray: Any, reference: Any, task: CellTask) -> CellOutcome:
    """Return how a cell ended, in one way or another.

    Raises:
        ValueError: If its node cannot run cells; the others would fare no better there.
    """
    try:
        outcome: CellOutcome = ray.get(reference)
    except NodeError as error:  # Ray gives it a traceback; its cause has the message alone
        raise ValueError(str(getattr(error, "cause", error))) from error
    except ray.exceptions.RayTaskError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(
            f"A worker of the Ray cluster cannot run cells: {reason}. All nodes need the same "
            "installation."
        ) from error
    except ray.exceptions.RayError as error:
        kind = type(error).__name__
        return fail_cell(
            task,
            f"Its worker was lost {RETRIES + 1} times ({kind}), perhaps for lack of memory. Run "
            "the same command again to go on with it, with more CPUs per cell if need be, so that "
            "fewer cells share a node.",
        )
    return outcome


def _await_files(task: CellTask, outcome: CellOutcome) -> None:
    """Wait until what a complete cell has written is seen here; rows are merged from that.

    Raises:
        ValueError: If it does not come to be seen.
    """
    end = time.monotonic() + SEEN_SECONDS
    while outcome.status == "complete" and not (
        is_complete(task.folder) and images_done(task.folder) == outcome.images
    ):
        if time.monotonic() > end:
            raise ValueError(
                f"A node has completed {task.folder}, but that is not to be seen here: the run's "
                "folder must be the same folder everywhere."
            )
        time.sleep(0.5)


class _Progress:
    """Calls ``on_image`` once per image, whatever is run twice or not heard of.

    Args:
        ray: Ray, connected.
        told: Handle of the actor that workers talk to.
        tasks: All cells.
        on_image: Called after each image.
    """

    def __init__(
        self, ray: Any, told: Any, tasks: Sequence[CellTask], on_image: Callable[[], None]
    ) -> None:
        self.ray = ray
        self.told = told
        self.on_image = on_image
        self.images = {task.cell.id: images_done(task.folder) for task in tasks}
        self.totals = {task.cell.id: len(task.stream) for task in tasks}
        self.begins = dict.fromkeys(self.images, 0)

    def look(self) -> None:
        """Take in what workers have told, if it can be had."""
        try:
            images, begun = self.ray.get(self.told.read.remote(), timeout=1.0)
        except self.ray.exceptions.RayError:
            return
        for cell, begins in begun.items():
            if len(begins) > max(1, self.begins[cell]):
                node, done = begins[-1]
                _logger.warning(
                    "%s: its worker was lost; it goes on after image %d on %s.", cell, done, node
                )
            self.begins[cell] = max(self.begins[cell], len(begins))
        for cell, count in images.items():
            self.reach(cell, count)

    def reach(self, cell: str, images: int) -> None:
        """Count a cell's images up to a number, which rows that are made again may exceed."""
        images = min(images, self.totals[cell])
        for _ in range(images - self.images[cell]):
            self.on_image()
        self.images[cell] = max(self.images[cell], images)
