# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The command line; ``grata_monai.cli.main`` holds the entry point."""

from __future__ import annotations

__all__: list[str] = []
