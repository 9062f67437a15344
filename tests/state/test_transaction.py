# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A block that raises leaves parameters and optimizer as they were."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grata_monai.state import AdamStepper, SgdStepper, all_or_nothing


@pytest.mark.parametrize("make", [AdamStepper, lambda p: SgdStepper(p, momentum=0.9)])
def test_undone_if_it_raises_and_kept_if_not(make):
    parameter = nn.Parameter(torch.tensor([1.0, -2.0]))
    stepper = make([parameter])
    stepper.step([torch.tensor([0.3, 0.1])], 0.1)
    value, state = parameter.detach().clone(), stepper.state_dict()

    def step():
        with all_or_nothing(stepper):
            stepper.step([torch.tensor([-0.5, 0.2])], 0.1)

    def fail():
        with all_or_nothing(stepper):
            stepper.step([torch.tensor([-0.5, 0.2])], 0.1)
            raise KeyError("deliberate")

    with pytest.raises(KeyError, match="deliberate"):
        fail()
    assert torch.equal(parameter.detach(), value)
    assert str(stepper.state_dict()) == str(state)
    step()
    kept = parameter.detach().clone()
    assert not torch.equal(kept, value)
    with torch.no_grad():
        parameter.copy_(value)
    stepper.load_state_dict(state)
    step()
    assert torch.equal(parameter.detach(), kept)
