# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Ignite handlers: adaptation over an evaluator's run, its trace and state, logging."""

from __future__ import annotations

from grata_monai.handlers.adaptation import TestTimeAdaptationHandler
from grata_monai.handlers.epochs import EpochLogHandler
from grata_monai.handlers.scores import StreamMetricsSaver
from grata_monai.handlers.stream_state import StreamStateSaver
from grata_monai.handlers.trace import TraceWriter

__all__ = [
    "EpochLogHandler",
    "StreamMetricsSaver",
    "StreamStateSaver",
    "TestTimeAdaptationHandler",
    "TraceWriter",
]
