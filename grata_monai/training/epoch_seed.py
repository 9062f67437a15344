# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Make every epoch's augmentation a function of the seed and the epoch's number."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd
from torch.utils.data import DataLoader, RandomSampler

from grata_monai._checks import check_number

_STRIDE = 100_003
_RANK_STRIDE = 1_009


class EpochSeed:
    """Seeds a data loader's generator and its transforms at the start of every epoch.

    So a training that was interrupted and resumed sees the very images that it would have seen
    without the interruption, whatever the number of worker processes was.

    The order itself is the business of ``DistributedSampler`` (with one replica, if there is one
    process), which MONAI's engines tell the epoch. torch's shuffling sampler draws once more when
    it is exhausted, which happens after the next epoch has been seeded, so it cannot serve here.

    Args:
        data_loader: Loader with a ``generator`` of its own (the global one is left alone) that
            does not shuffle, or shuffles by ``DistributedSampler``.
        seed: Seed of the training, >= 0.
        rank: Number of the process in distributed training, so that each augments differently.

    Raises:
        ValueError: If the loader has no generator or another kind of shuffling, or ``seed`` or
            ``rank`` is negative.
    """

    def __init__(self, data_loader: DataLoader[Any], *, seed: int = 0, rank: int = 0) -> None:
        check_number("EpochSeed", "seed", seed, minimum=0, integer=True)
        check_number("EpochSeed", "rank", rank, minimum=0, integer=True)
        if not isinstance(data_loader.generator, torch.Generator):
            raise ValueError(
                "The 'data_loader' of EpochSeed must have a generator of its own: "
                "DataLoader(..., generator=torch.Generator())."
            )
        if isinstance(data_loader.sampler, RandomSampler):
            raise ValueError(
                "The 'data_loader' of EpochSeed must not use shuffle=True, whose order depends on "
                "what was drawn before. Use DistributedSampler(dataset, num_replicas=1, rank=0)."
            )
        self.data_loader = data_loader
        self.seed = seed
        self.rank = rank

    def attach(self, engine: Engine) -> None:
        """Register with a trainer; a second call for the same one does nothing."""
        if not engine.has_event_handler(self, Events.EPOCH_STARTED):
            engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed for the epoch that starts."""
        number = self.seed * _STRIDE + engine.state.epoch + self.rank * _RANK_STRIDE
        self.data_loader.generator.manual_seed(number)
        set_rnd(self.data_loader.dataset, number)
