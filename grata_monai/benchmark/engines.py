# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What an engine is, and what engines share: it takes cells and says how they ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from grata_monai.benchmark.cells import CellOutcome, CellTask
from grata_monai.benchmark.cost import PASSES


class Engine(Protocol):
    """Runs cells somewhere; ``workers.run_cells`` here, ``ray_engine`` on a cluster."""

    def __call__(
        self, tasks: Sequence[CellTask], *, on_image: Callable[[], None]
    ) -> Iterator[CellOutcome]:
        """Yield how each cell ended, as they end.

        Args:
            tasks: The cells.
            on_image: Called after each image, in this process.
        """
        ...


def longest_first(tasks: Sequence[CellTask]) -> list[CellTask]:
    """Return cells with those first that take longest: begun last, one would be waited for alone.

    Args:
        tasks: The cells.
    """
    return sorted(tasks, key=lambda task: -len(task.stream) * _passes(task.adapter))


def _passes(adapter: str) -> float:
    forward, backward = PASSES.get(adapter, PASSES["grata"])
    return forward + 2 * backward
