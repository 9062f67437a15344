# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How networks are run, not what they compute: precision, compilation, memory."""

from __future__ import annotations

from grata_monai.execution.free_memory import free_memory
from grata_monai.execution.host_memory import keep_freed_memory, kept_memory
from grata_monai.execution.settings import (
    PRECISIONS,
    Execution,
    Precision,
    fast_precision,
    uncompiled,
)

__all__ = [
    "PRECISIONS",
    "Execution",
    "Precision",
    "fast_precision",
    "free_memory",
    "keep_freed_memory",
    "kept_memory",
    "uncompiled",
]
