# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Running statistics that go on at test time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai._checks import check_number
from grata_monai.functional import bn_statistics
from grata_monai.functional.bn_statistics import Statistics
from grata_monai.state.bn_policies import (
    StatisticsPolicy,
    normalize_with_batch,
    normalize_with_constants,
    source_statistics,
)


class MovingAverageStatistics(StatisticsPolicy):
    """Running statistics that start at the source's and move on, kept apart from the source's.

    Inside ``with policy.updating():`` layers normalize with the current input and the averages
    move (torch's training mode); elsewhere layers normalize with the averages (evaluation mode).

    Args:
        momentum: Share of the current input at each update, in [0, 1]; may be changed between
            updates. The variance that enters is unbiased, as in torch.
    """

    def __init__(self, *, momentum: float = 0.1) -> None:
        check_number("MovingAverageStatistics", "momentum", momentum, minimum=0.0, maximum=1.0)
        self.momentum = momentum
        self.averages_: dict[str, Statistics] = {}
        self._updating = False

    @contextmanager
    def updating(self) -> Iterator[None]:
        """Let the averages move during a block; if it raises they are as they were before."""
        before = dict(self.averages_)
        self._updating = True
        try:
            yield
        except BaseException:
            self.averages_ = before
            raise
        finally:
            self._updating = False

    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """See base class."""
        average = self.averages_.get(name) or source_statistics(layer)
        average = Statistics(*(value.to(activations.device) for value in average))
        if not self._updating:
            return normalize_with_constants(layer, activations, average)
        current = bn_statistics.batch_statistics(activations.detach(), unbiased=True)
        self.averages_[name] = bn_statistics.mix(average, current, 1.0 - self.momentum)
        return normalize_with_batch(name, layer, activations)

    def reset(self) -> None:
        """Go back to the source's statistics."""
        self.averages_.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return the averages by layer name."""
        return {
            name: {"mean": average.mean.clone(), "variance": average.variance.clone()}
            for name, average in self.averages_.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over averages."""
        self.averages_ = {
            name: Statistics(entry["mean"].clone(), entry["variance"].clone())
            for name, entry in state.items()
        }
