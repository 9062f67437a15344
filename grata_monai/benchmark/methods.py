# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The method of a cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grata_monai.adapters import Adapter, build_adapter


def build_method(method: str, options: Mapping[str, Any], *, seed: int, protocol: str) -> Adapter:
    """Return the method of a cell.

    Args:
        method: Id in ``grata_monai.adapters.ADAPTERS``.
        options: Its arguments.
        seed: Its seed.
        protocol: ``episodic`` goes back to the source for each image; under the other protocols
            a method keeps its own life cycle.

    Raises:
        ValueError: For an unknown method or a wrong argument.
    """
    settings = dict(options)
    if protocol == "episodic":
        settings["life_cycle"] = "per_image"
    return build_adapter(method, seed=seed, **settings)
