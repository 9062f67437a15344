# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""From raw downloads to a verified benchmark folder, and back to whole photographs. No torch."""

from __future__ import annotations

__all__: list[str] = []
