# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How far the statistics of the current input are from the source's, layer by layer (PASS)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai._checks import check_number
from grata_monai.functional.bn_statistics import batch_statistics
from grata_monai.state.bn_policies import SourceStatistics, source_statistics


class MeasuredSourceStatistics(SourceStatistics):
    r"""The source's running statistics; on request, each layer's distance to them.

    .. math:: d = \mathrm{mean}_c |\mu_t - \mu_s| + w\, \mathrm{mean}_c |v_t - v_s|

    where t is the input that the layer normalizes (biased variance) and s the source.

    Args:
        variance_weight: w >= 0; 0.01 in PASS.
    """

    def __init__(self, *, variance_weight: float = 0.01) -> None:
        check_number("MeasuredSourceStatistics", "variance_weight", variance_weight, minimum=0.0)
        self.variance_weight = variance_weight
        self._distances: list[Tensor] | None = None

    @contextmanager
    def measuring(self) -> Iterator[list[Tensor]]:
        """Collect the distances, with their graph, in the order in which layers are called."""
        before, self._distances = self._distances, []
        try:
            yield self._distances
        finally:
            self._distances = before

    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """See base class."""
        if self._distances is not None:
            current, source = batch_statistics(activations), source_statistics(layer)
            means = (current.mean - source.mean).abs().mean()
            variances = (current.variance - source.variance).abs().mean()
            self._distances.append(means + self.variance_weight * variances)
        return super().normalize(name, layer, activations)
