# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Find the optic disc in whole photographs without a mask. No torch until a network is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grata_monai.localization.centers import read_centers, write_centers
from grata_monai.localization.classical import locate_disc
from grata_monai.localization.location import DiscCandidate, DiscLocation
from grata_monai.localization.previews import draw_location

if TYPE_CHECKING:
    from grata_monai.localization.network import NetworkLocator

__all__ = [
    "DiscCandidate",
    "DiscLocation",
    "NetworkLocator",
    "draw_location",
    "locate_disc",
    "read_centers",
    "write_centers",
]


def __getattr__(name: str) -> Any:
    if name == "NetworkLocator":
        from grata_monai.localization.network import NetworkLocator

        return NetworkLocator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
