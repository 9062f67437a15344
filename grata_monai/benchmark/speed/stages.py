# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A clock of stages: every moment counts for the innermost stage that is open."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

REST = "rest"
Namer = Callable[..., str]
_MISSING = object()


class StageClock:
    """Says how long each stage took; together they took what the whole did.

    Args:
        now: Returns the time in seconds.

    Attributes:
        seconds: By stage, also ``"rest"``, what was spent in none.

    Example:
        >>> clock = StageClock(iter([0.0, 1.0, 4.0, 4.5]).__next__)
        >>> with clock.running(), clock.stage("backward"):
        ...     pass
        >>> clock.seconds
        {'rest': 1.5, 'backward': 3.0}
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._open: list[str] = []
        self._since = 0.0
        self.seconds: dict[str, float] = {}

    @property
    def innermost(self) -> str:
        """The innermost stage that is open."""
        return self._open[-1] if self._open else REST

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the clock run for a block."""
        self._since = self._now()
        try:
            yield
        finally:
            self._charge()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count a block for a stage, without the stages that are opened in it."""
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    @contextmanager
    def watching(self, owner: Any, attribute: str, namer: Namer | str) -> Iterator[None]:
        """Count the calls of a function for a stage during a block; then it is as before.

        Args:
            owner: An object, a class or a module.
            attribute: The function's name in it.
            namer: The stage, or what returns it from the call's arguments.
        """
        call = getattr(owner, attribute)
        own = vars(owner).get(attribute, _MISSING)

        @functools.wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(namer if isinstance(namer, str) else namer(*args, **kwargs)):
                return call(*args, **kwargs)

        setattr(owner, attribute, timed)
        try:
            yield
        finally:
            if own is _MISSING:
                delattr(owner, attribute)
            else:
                setattr(owner, attribute, own)

    def _charge(self) -> None:
        """Book the time since the last change on the stage that was innermost."""
        now = self._now()
        stage = self.innermost
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now
