# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Log what an epoch gave."""

from __future__ import annotations

from ignite.engine import Engine
from monai.handlers import StatsHandler


class EpochLogHandler(StatsHandler):
    """MONAI's ``StatsHandler`` for epochs only.

    It leaves exceptions to whoever can say them in a line: the original logs their tracebacks
    before it raises them on.

    Args:
        name: Name of the logger; None takes the engine's.
    """

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(iteration_log=False, name=name)

    def exception_raised(self, _engine: Engine, e: Exception) -> None:
        """Raise on without a word."""
        raise e
