# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the measurement of speed."""

from __future__ import annotations
