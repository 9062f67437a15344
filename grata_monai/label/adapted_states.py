# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Adapted states of several clients, kept apart, for a limited time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

from grata_monai._checks import check_number
from grata_monai.adapters import Adapter


class AdaptedStates:
    """Keeps one adapter per client and model, whose state goes on where that client left it.

    The adapters have the life cycle ``never``: bound to the shared network for one image and
    released after it, each carries its own state, so clients that take turns never see each
    other's. A state that was not used for some time, or for longest when there are too many, is
    forgotten; the next request of that client starts at the source.

    Args:
        seconds: How long an unused state is kept, >= 0.
        limit: How many are kept, >= 1.
        clock: Gives seconds; for tests.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> from grata_monai.adapters import Tent
        >>> states = AdaptedStates(seconds=60, limit=8)
        >>> first = states.get("anna", lambda: Tent(life_cycle="never"))
        >>> first is states.get("anna", lambda: Tent(life_cycle="never"))
        True
    """

    def __init__(
        self,
        *,
        seconds: float = 3600.0,
        limit: int = 16,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_number("AdaptedStates", "seconds", seconds, minimum=0.0)
        check_number("AdaptedStates", "limit", limit, minimum=1, integer=True)
        self.seconds = seconds
        self.limit = limit
        self.clock = clock
        self._kept: OrderedDict[Hashable, tuple[Adapter, float]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        with self._lock:
            self._forget_old()
            return len(self._kept)

    def get(self, key: Hashable, build: Callable[[], Adapter]) -> Adapter:
        """Return the adapter of a key, built if there is none (any more)."""
        with self._lock:
            self._forget_old()
            adapter = self._kept[key][0] if key in self._kept else build()
            self._kept[key] = (adapter, self.clock())
            self._kept.move_to_end(key)
            while len(self._kept) > self.limit:
                self._kept.popitem(last=False)
            return adapter

    def forget(self, key: Hashable) -> None:
        """Forget the adapter of a key, if there is one."""
        with self._lock:
            self._kept.pop(key, None)

    def forget_old(self) -> None:
        """Forget what was not used for too long, so that its memory is free."""
        with self._lock:
            self._forget_old()

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()

    def _forget_old(self) -> None:
        oldest = self.clock() - self.seconds
        for key in [key for key, (_, used) in self._kept.items() if used < oldest]:
            del self._kept[key]
