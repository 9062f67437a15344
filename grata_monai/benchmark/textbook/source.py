# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""No Adapt and PTBN: the network under the source's statistics, and under the image's own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.batch_norm import use_batch_statistics


class Source(Textbook):
    """The network as it is."""

    @torch.no_grad()
    def step(self, image: Tensor) -> Tensor:
        """See base class."""
        logits: Tensor = self.network(image)
        return logits


class BatchNormAdapt(Source):
    """The current image's statistics, nothing else."""

    def __init__(self, network: nn.Module, *, seed: int = 0) -> None:
        super().__init__(network, seed=seed)
        use_batch_statistics(self.network)
        self.network.requires_grad_(False)
