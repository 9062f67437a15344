# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How fast methods are, on every path, beside their textbook form: ``benchmark speed``."""

from __future__ import annotations

from grata_monai.benchmark.speed.measurement import measure
from grata_monai.benchmark.speed.paths import PATH_WORDS
from grata_monai.benchmark.speed.report import Report, check_file
from grata_monai.benchmark.speed.request import Request
from grata_monai.benchmark.speed.rows import Row

__all__ = ["PATH_WORDS", "Report", "Request", "Row", "check_file", "measure"]
