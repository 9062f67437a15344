# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Find the optic disc in whole photographs without a mask."""

from __future__ import annotations

__all__: list[str] = []
