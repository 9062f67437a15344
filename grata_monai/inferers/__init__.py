# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""MONAI inferers that adapt before they predict."""

from __future__ import annotations

from grata_monai.inferers.adaptive import AdaptiveInferer, RefusedImageError
from grata_monai.inferers.collapse_alarm import CollapseAlarm
from grata_monai.inferers.stream_guard import Fault, StreamGuard
from grata_monai.inferers.windows import AdaptationWindows

__all__ = [
    "AdaptationWindows",
    "AdaptiveInferer",
    "CollapseAlarm",
    "Fault",
    "RefusedImageError",
    "StreamGuard",
]
