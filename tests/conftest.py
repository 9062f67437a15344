# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real fundus data for measuring; most machines do not have it."""
    folder = Path(os.environ.get("GRATA_REAL_DATA", REPOSITORY.parent / "shared" / "real"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no real fundus data at {folder} (set GRATA_REAL_DATA)")
    return folder
