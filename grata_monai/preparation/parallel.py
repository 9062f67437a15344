# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Work on many files in several processes, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tqdm import tqdm

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parallel_map(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    jobs: int | None = None,
    label: str = "",
    progress: bool = True,
) -> Iterator[tuple[int, _Result]]:
    """Yield ``(index, function(item))`` as the results come.

    Args:
        function: A function of a module, so that worker processes find it.
        items: What to work on.
        jobs: Processes; None: as many as there are cores. With one, this process does the work.
        label: What the progress bar says.
        progress: Whether to show one.

    Raises:
        OSError: If a worker process died.
        Exception: Whatever the function raises; work that has not begun is given up.
    """
    processes = min(jobs or usable_cores(), max(len(items), 1))
    with tqdm(total=len(items), desc=label, unit="image", disable=not progress) as bar:
        results = (
            ((index, function(item)) for index, item in enumerate(items))
            if processes == 1
            else _in_processes(function, items, processes)
        )
        for result in results:
            bar.update()
            yield result


def _in_processes(
    function: Callable[[_Item], _Result], items: Sequence[_Item], processes: int
) -> Iterator[tuple[int, _Result]]:
    # spawned, not forked: the same on every system, and no thread's lock is copied
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, initializer=_start_worker)
    try:
        futures = {pool.submit(function, item): index for index, item in enumerate(items)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise OSError(
            "A worker process died, perhaps for lack of memory. Run again with fewer processes "
            "(--jobs 1)."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Let Ctrl-C stop the main process only, and end with it, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
