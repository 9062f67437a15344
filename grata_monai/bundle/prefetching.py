# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Read the next images while the present one is adapted."""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from monai.data import DataLoader, Dataset, ThreadBuffer

from grata_monai._checks import check_number


class PrefetchDataLoader(DataLoader):
    """MONAI's ``DataLoader`` with a thread that reads ahead; same batches in the same order.

    An exception of a broken image arrives when its turn comes, as it does without the thread;
    MONAI's ``ThreadDataLoader`` would end the data set there without a word. The thread ends with
    the iteration, also with one that is given up.

    Args:
        dataset: What to load.
        prefetch: Batches to hold ready, besides the one being read; 0 reads without a thread.
        kwargs: Of ``DataLoader``.

    Raises:
        ValueError: If ``prefetch`` is negative or no integer.
    """

    def __init__(self, dataset: Dataset, *, prefetch: int = 1, **kwargs: Any) -> None:
        check_number("PrefetchDataLoader", "prefetch", prefetch, minimum=0, integer=True)
        super().__init__(dataset, **kwargs)
        self.prefetch = prefetch

    def __iter__(self) -> Iterator[Any]:
        """Return the batches of one pass."""
        batches = super().__iter__()
        return _ahead(batches, self.prefetch) if self.prefetch else batches


@dataclass(frozen=True)
class _Failure:
    """What reading a batch raised.

    Args:
        error: The exception.
    """

    error: BaseException


def _ahead(batches: Iterable[Any], count: int) -> Iterator[Any]:
    """Yield the batches as a thread gets them."""
    buffer = ThreadBuffer(_with_failure(batches), buffer_size=count)
    # A thread in the midst of an image while the interpreter shuts down would take it down.
    atexit.register(buffer.stop)
    try:
        for batch in buffer:
            if isinstance(batch, _Failure):
                raise batch.error
            yield batch
    finally:
        buffer.stop()
        atexit.unregister(buffer.stop)


def _with_failure(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield the batches and at last, if there was one, the exception that ended them."""
    try:
        yield from batches
    except (Exception, SystemExit) as error:  # a thread would swallow either
        yield _Failure(error)
