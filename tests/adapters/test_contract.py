# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Every adapter under every check of the contract."""

from __future__ import annotations

import pytest
import torch

from grata_monai.adapters import (
    ADAPTERS,
    Adapter,
    GraTa,
    Source,
    StatisticsChoice,
    Tent,
    build_adapter,
)
from grata_monai.adapters.checks import CHECKS
from grata_monai.state import MovingAverageStatistics


class MovingAverage(Adapter):
    """A method whose memory lies in its statistics policy."""

    def __init__(self, *, life_cycle="per_dataset", seed=0):
        super().__init__(life_cycle=life_cycle, seed=seed)

    def _policy(self):
        return MovingAverageStatistics(momentum=0.3)

    def _update(self, images):
        binding = self._bound()
        with torch.no_grad(), binding.policy.updating():
            binding.network(images)
        return {}


FEWER_VIEWS = {"cotta": {"views": 4}, "memo": {"views": 4}}  # their 32 would take a minute
VARIANTS = {name: build_adapter(name, **FEWER_VIEWS.get(name, {})) for name in ADAPTERS} | {
    "grata exchanged": GraTa(
        auxiliary="consistency", pseudo="entropy", mapping="softplus", beta=0.1
    ),
    "grata without auxiliary": GraTa(auxiliary=None, beta=0.1),
    "moving average": MovingAverage(),
    "statistics_choice with grata": StatisticsChoice(adapter=GraTa(beta=0.1)),
    "statistics_choice given colors": StatisticsChoice(
        adapter=Source(), source_mean=(0.6, 0.4, 0.2), source_std=(0.1, 0.2, 0.3)
    ),
    "tent before update": Tent(predict="before_update", beta=0.1),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("variant", VARIANTS)
def test_contract(variant, check):
    check(VARIANTS[variant])


class Careless(Adapter):
    """Breaks the contract in one way at a time."""

    def __init__(self, *, fault="", life_cycle="per_dataset", seed=0):
        super().__init__(life_cycle=life_cycle, seed=seed)
        self.fault = fault

    def _update(self, images):
        network = self.network
        if self.fault == "moves":
            next(network.parameters()).data.add_(1)
        if self.fault == "rng":
            torch.rand(1)
        if self.fault == "hook":
            network[0].register_forward_hook(lambda *_: None)
        if self.fault == "memory":
            self.seen = getattr(self, "seen", 0) + 1
        self.total += images.mean()
        return {}

    def _start(self):
        self.total = torch.zeros(())

    def _method_state(self):
        return {"total": self.total if self.fault == "alias" else self.total.clone()}

    def _load_method_state(self, state):
        self.total = state["total"] if self.fault == "alias" else state["total"].clone()

    def _predict(self, images):
        logits = self.network(images)
        if self.fault == "memory":
            return logits + getattr(self, "seen", 0)
        if self.fault == "counts predictions":
            self.total = self.total + 1
            self.predictions = getattr(self, "predictions", 0) + 1
            return logits + self.predictions
        if self.fault == "alias":
            return logits + self.total
        return logits.double() if self.fault == "dtype" else logits


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("moves", "undeclared changes"),
        ("rng", "global generator"),
        ("hook", "as it was found"),
        ("memory", "after reset"),
        ("dtype", "dtype"),
        ("alias", "after load_state_dict"),
        ("counts predictions", "predict_only() twice"),
    ],
)
def test_the_checks_find_faults(fault, reason):
    messages = []
    for check in CHECKS:
        try:
            check(Careless(fault=fault))
        except AssertionError as error:
            messages.append(str(error))
    assert any(reason in message for message in messages), messages
