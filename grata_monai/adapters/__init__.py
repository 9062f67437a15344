# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Test-time adaptation methods, one file each, under one contract."""

from __future__ import annotations

from grata_monai.adapters.base import Adapter, Infer, LifeCycle
from grata_monai.adapters.batch_norm import BatchNormAdapt
from grata_monai.adapters.grata import GraTa
from grata_monai.adapters.registry import ADAPTERS, build_adapter
from grata_monai.adapters.source import Source
from grata_monai.adapters.tent import Tent

__all__ = [
    "ADAPTERS",
    "Adapter",
    "BatchNormAdapt",
    "GraTa",
    "Infer",
    "LifeCycle",
    "Source",
    "Tent",
    "build_adapter",
]
