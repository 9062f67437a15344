# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A cell on a node of a Ray cluster: first look whether the node sees what the driver sees."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from grata_monai._files import sha256_of
from grata_monai.benchmark.cells import CellOutcome, CellTask, images_done, run_cell
from grata_monai.benchmark.plan import usable_device, versions
from grata_monai.benchmark.run_folder import RunFolder

SEEN_SECONDS = 30.0
"""A network file system may show a file so much later on another node."""


class NodeError(RuntimeError):
    """A node cannot run cells of this run; the message says why and what to do."""


@dataclass(frozen=True)
class Shared:
    """What a node must find as the driver has it.

    Args:
        plan_file: The run's plan.json, at the same path on all nodes.
        plan_hash: Its SHA-256.
        versions: Versions that numbers may depend on.
    """

    plan_file: Path
    plan_hash: str
    versions: Mapping[str, str]

    @classmethod
    def of(cls, run: Path) -> Shared:
        """Return what there is here.

        Args:
            run: The run's folder.
        """
        plan_file = RunFolder(run).plan_file
        return cls(plan_file, sha256_of(plan_file), versions())

    def check(self, task: CellTask) -> None:
        """Check that this process finds the run, its data, its versions and its device.

        Args:
            task: The cell that is to run here.

        Raises:
            NodeError: If it does not.
        """
        other = {n: v for n, v in versions().items() if v != self.versions.get(n)}
        if other:
            raise NodeError(f"has other versions, {other} instead of {dict(self.versions)}")
        end = time.monotonic() + SEEN_SECONDS
        while (found := self._plan_here()) != self.plan_hash:
            if time.monotonic() > end:
                what = f"another {self.plan_file}" if found else f"no {self.plan_file}"
                raise NodeError(f"has {what}: the run's folder must be the same folder everywhere")
            time.sleep(1.0)
        images = [Path(str(image.item["image"])) for _, image in task.stream]
        if images and not any(path.exists() for path in images):
            raise NodeError(f"has no image of {task.cell.stream}, such as {images[0]}")
        if not Path(task.weights).exists():
            raise NodeError(f"has no weights {task.weights}")
        if sha256_of(task.weights) != task.fingerprint["source"]:
            raise NodeError(f"has another file {task.weights} than the one of the plan")
        try:
            usable_device(task.device)
        except ValueError as error:
            raise NodeError(str(error)) from error

    def _plan_here(self) -> str:
        try:
            return sha256_of(self.plan_file)
        except OSError:
            return ""


class Told:
    """What the workers tell the driver; an actor that lives on the driver's node.

    Without it cells go on all the same, and the driver learns of their images when they end.
    """

    def __init__(self) -> None:
        self.images: dict[str, int] = {}
        self.begun: dict[str, list[tuple[str, int]]] = {}

    def begin(self, cell: str, node: str, images: int) -> None:
        """Note that a worker has taken up a cell, and how many of its images were done."""
        self.begun.setdefault(cell, []).append((node, images))

    def image(self, cell: str, images: int) -> None:
        """Note how many images of a cell are done."""
        self.images[cell] = images

    def read(self) -> tuple[dict[str, int], dict[str, list[tuple[str, int]]]]:
        """Return images by cell, and by cell the node and the image of every begin."""
        return self.images, self.begun


def work(task: CellTask, shared: Shared, threads: int, told: Any) -> CellOutcome:
    """Run a cell in a worker of the cluster.

    Args:
        task: The cell.
        shared: What this node must find.
        threads: Threads of torch; numbers depend on how many, so it must not be the node's choice.
        told: Handle of the actor ``Told``.

    Raises:
        NodeError: If this node cannot run cells of this run.
    """
    node = socket.gethostname()
    torch.set_num_threads(threads)
    try:
        shared.check(task)
    except NodeError as error:
        raise NodeError(
            f"The node {node} {error}. Mend it or take it out of the cluster; then the same "
            "command goes on."
        ) from error
    cell, images = task.cell.id, images_done(task.folder)
    told.begin.remote(cell, node, images)

    def tell() -> None:
        nonlocal images
        images += 1
        told.image.remote(cell, images)

    return run_cell(task, on_image=tell)
