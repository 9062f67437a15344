# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""AlphaBN and MedBN: other statistics in every layer, nothing learned."""

from __future__ import annotations

from torch import nn

from grata_monai.benchmark.textbook.source import Source
from grata_monai.benchmark.textbook.statistics import (
    MedianBatchNorm,
    MixedBatchNorm,
    replace_batch_norms,
)


class AlphaBN(Source):
    """Source statistics with a share of the current image's.

    Args:
        network: The source network, which stays as it is.
        source_share: Share of the source.
        seed: Of no effect.
    """

    def __init__(self, network: nn.Module, *, source_share: float = 0.9, seed: int = 0) -> None:
        super().__init__(network, seed=seed)
        replace_batch_norms(self.network, lambda layer: MixedBatchNorm(layer, source_share))


class MedBN(Source):
    """The current image's medians in place of its means."""

    def __init__(self, network: nn.Module, *, seed: int = 0) -> None:
        super().__init__(network, seed=seed)
        replace_batch_norms(self.network, MedianBatchNorm)
