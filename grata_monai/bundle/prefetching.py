# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Read the next images while the present one is adapted."""

from __future__ import annotations

import atexit
from collections.abc import Generator, Iterator
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

    _outlives_failures = False
    """Whether to read on behind a batch that could not be read."""

    def __init__(self, dataset: Dataset, *, prefetch: int = 1, **kwargs: Any) -> None:
        check_number("PrefetchDataLoader", "prefetch", prefetch, minimum=0, integer=True)
        super().__init__(dataset, **kwargs)
        self.prefetch = prefetch

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of one pass."""
        for outcome in read_ahead(self._outcomes(), self.prefetch):
            if isinstance(outcome, Failure):
                raise outcome.error
            yield outcome

    def _outcomes(self) -> Iterator[Any]:
        """Yield each batch, or what went wrong with it."""
        batches = super().__iter__()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except (Exception, SystemExit) as error:  # a thread would swallow either
                yield Failure(error)
                if not self._outlives_failures:
                    return
            else:
                yield batch


@dataclass(frozen=True)
class Failure:
    """What reading a batch raised.

    Args:
        error: The exception.
    """

    error: BaseException


def read_ahead(outcomes: Iterator[Any], count: int) -> Generator[Any, None, None]:
    """Yield what an iterator gives, as a thread gets it.

    Args:
        outcomes: An iterator that does not raise.
        count: How many to hold ready; 0 for no thread.
    """
    if not count:
        yield from outcomes
        return
    buffer = ThreadBuffer(outcomes, buffer_size=count)
    # A thread in the midst of an image while the interpreter shuts down would take it down.
    atexit.register(buffer.stop)
    try:
        yield from buffer
    finally:
        buffer.stop()
        atexit.unregister(buffer.stop)
