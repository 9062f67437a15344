# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Statistics, scale and shift of its own for every image of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai.functional.batch_normalization import batch_normalize_groups
from grata_monai.state.bn_policies import BatchStatistics, require_variance


class RowStatistics(BatchStatistics):
    """Batch statistics, with which a batch can be several images that are adapted apart.

    In a block of ``using`` every scale and shift has a row for each image instead of one value
    per channel. A batch then holds equally many samples of each image, those of the first image
    first. Without such a block it is ``BatchStatistics``.
    """

    separates_samples = True

    def __init__(self) -> None:
        self._rows: dict[int, Tensor] = {}
        self._count = 0

    @contextmanager
    def using(
        self, parameters: Mapping[str, nn.Parameter], rows: Mapping[str, Tensor]
    ) -> Iterator[None]:
        """Run a block in which rows take the place of parameters.

        Args:
            parameters: The layers' scales and shifts, by any names.
            rows: By the same names, for each a tensor RxC with a row for each of R images.
        """
        self._rows = {id(parameter): rows[name] for name, parameter in parameters.items()}
        self._count = len(next(iter(rows.values())))
        try:
            yield
        finally:
            self._rows, self._count = {}, 0

    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """See base class; an image's samples are one batch."""
        if not self._rows:
            return super().normalize(name, layer, activations)
        return self.normalize_groups(name, layer, activations, len(activations) // self._count)

    def normalize_groups(
        self, name: str, layer: _BatchNorm, activations: Tensor, size: int
    ) -> Tensor:
        """See base class."""
        if not self._rows:
            return super().normalize_groups(name, layer, activations, size)
        require_variance(name, activations[:size])
        repeats = len(activations) // (size * self._count)
        weight, bias = (self._row_of(values, repeats) for values in (layer.weight, layer.bias))
        return batch_normalize_groups(activations, weight, bias, layer.eps, size=size)

    def _row_of(self, values: nn.Parameter | None, repeats: int) -> Tensor | None:
        """Return a layer's values with a row for each group of samples."""
        if values is None:
            return None
        rows = self._rows.get(id(values))
        return values if rows is None else rows.repeat_interleave(repeats, dim=0)
