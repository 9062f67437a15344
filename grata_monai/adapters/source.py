# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""No Adapt: the source network as it is."""

from __future__ import annotations

from torch import Tensor

from grata_monai.adapters.base import Adapter, LifeCycle


class Source(Adapter):
    """The source network with its own statistics: the row "No Adapt" of every table.

    Args:
        life_cycle: Of no effect.
        seed: Of no effect.
    """

    needs_batch_norm = False

    def __init__(self, *, life_cycle: LifeCycle = "per_dataset", seed: int = 0) -> None:
        super().__init__(life_cycle=life_cycle, seed=seed)

    def _update(self, images: Tensor) -> dict[str, float]:
        return {}
