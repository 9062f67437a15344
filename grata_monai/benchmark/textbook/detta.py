# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DeTTA the plain way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.batch_norm import use_batch_statistics
from grata_monai.benchmark.textbook.bottleneck import bottleneck

Corrupt = Callable[[Tensor], tuple[Tensor, Tensor]]


class DeTTA(Textbook):
    """One step on the error of a denoising head at pixels that were replaced by neighbours.

    Args:
        network: The source network with a head of the name ``denoising``.
        beta: Learning rate.
        seed: Seed of the default ``corrupt``.
        corrupt: Returns the corrupted image and which of its pixels were drawn, 1x1xHxW.

    Raises:
        ValueError: If there is no such head.

    Reference:
        R. Wen et al., "From Denoising Training to Test-Time Adaptation", WACV 2024.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        beta: float = 1e-4,
        seed: int = 0,
        corrupt: Corrupt | None = None,
    ) -> None:
        super().__init__(network, seed=seed)
        parameters = use_batch_statistics(self.network)
        self.head: nn.Module | None = None
        heads = getattr(network, "heads", ())
        if "denoising" not in heads:
            raise ValueError(
                f"DeTTA needs a network with a 'denoising' head, which {type(network).__name__} "
                "has not; train the source with that head and put WithHeads around both."
            )
        if isinstance(heads, nn.ModuleDict):  # the plain copy of the network lacks them
            self.head = copy.deepcopy(heads["denoising"]).eval().requires_grad_(False)
            parameters += use_batch_statistics(self.head)
        self.optimizer = torch.optim.Adam(parameters, lr=beta, betas=(0.9, 0.99))
        self.corrupt = BlindSpots(seed) if corrupt is None else corrupt

    def step(self, image: Tensor) -> Tensor:
        """Denoise a corrupted image, make one step, and predict the clean image."""
        corrupted, drawn = self.corrupt(image)
        denoised = torch.sigmoid(self._denoise(corrupted))
        loss = ((denoised - image).abs() * drawn).mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        with torch.no_grad():
            logits: Tensor = self.network(image)
        return logits

    def _denoise(self, image: Tensor) -> Tensor:
        if self.head is None:
            own = cast("Callable[[str, Tensor], Tensor]", self.network.head)
            return own("denoising", image)
        return cast("Tensor", self.head(bottleneck(self.network, image)))


class BlindSpots:
    """Replace a tenth of the pixels by neighbours in a 5x5 window, in all channels alike.

    Args:
        seed: Seed of the draws.
    """

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the corrupted image and which pixels were drawn."""
        height, width = image.shape[2:]
        count = int(0.1 * height * width)
        rows = torch.randint(height, (count,), generator=self.generator)
        columns = torch.randint(width, (count,), generator=self.generator)
        offsets = torch.randint(-2, 3, (2, count), generator=self.generator)
        source_rows, source_columns = (rows + offsets[0]) % height, (columns + offsets[1]) % width
        corrupted = image.clone()
        corrupted[:, :, rows, columns] = image[:, :, source_rows, source_columns]
        drawn = torch.zeros(1, 1, height, width, dtype=torch.bool, device=image.device)
        drawn[:, :, rows, columns] = True
        return corrupted, drawn
