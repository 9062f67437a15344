# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of reading, masks, windows and pictures."""

from __future__ import annotations
