# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tables, figures and one HTML page from the folder of a benchmark. No torch, no MONAI."""

from __future__ import annotations

from grata_monai.report.run import Run, read_run
from grata_monai.report.writing import Report, write_report

__all__ = ["Report", "Run", "read_run", "write_report"]
