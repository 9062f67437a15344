# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Test-time adaptation for medical image segmentation on PyTorch and MONAI.

Importing this package is cheap: neither torch nor MONAI is loaded until a name is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__version__ = "0.1.0"

_PACKAGES = (
    "adapters",
    "benchmark",
    "bundle",
    "data",
    "execution",
    "functional",
    "handlers",
    "imaging",
    "inferers",
    "label",
    "localization",
    "metrics",
    "networks",
    "objectives",
    "preparation",
    "report",
    "state",
    "training",
    "transforms",
)

__all__ = ["__version__", *_PACKAGES]


def __getattr__(name: str) -> ModuleType:
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
