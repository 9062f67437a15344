# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of ``grata-monai data``."""

from __future__ import annotations
