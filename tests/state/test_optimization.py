# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Steppers against torch's optimizer classes, bit for bit."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from grata_monai.state import AdamStepper, SgdStepper

RATES = (0.1, 0.01, 0.0, 0.3)
KINDS = {
    "adam": (
        lambda p: AdamStepper(p, betas=(0.8, 0.95)),
        lambda p: torch.optim.Adam(p, lr=1.0, betas=(0.8, 0.95)),
    ),
    "momentum": (
        lambda p: SgdStepper(p, momentum=0.9),
        lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9),
    ),
    "descent": (SgdStepper, lambda p: torch.optim.SGD(p, lr=1.0)),
}


def values():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in ((3,), (2, 4))]


def gradients(step):
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(value.shape, generator=generator) for value in values()]


def parameters():
    return [nn.Parameter(value) for value in values()]


@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_those_of_torchs_class(kind):
    ours, theirs = parameters(), parameters()
    stepper, optimizer = KINDS[kind][0](ours), KINDS[kind][1](theirs)
    for step, rate in enumerate(RATES):
        stepper.step(gradients(step), rate)
        for parameter, gradient in zip(theirs, gradients(step), strict=True):
            parameter.grad = gradient
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
        assert all(parameter.grad is None and parameter.requires_grad for parameter in ours)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_state_goes_on_with_the_same_bits(kind):
    whole, rest = parameters(), parameters()
    stepper = KINDS[kind][0](whole)
    for step, rate in enumerate(RATES):
        if step == 2:
            state = stepper.state_dict()
            with torch.no_grad():
                [a.copy_(b) for a, b in zip(rest, whole, strict=True)]
        stepper.step(gradients(step), rate)
    again = KINDS[kind][0](rest)
    again.load_state_dict(state)
    for step in (2, 3):
        again.step(gradients(step), RATES[step])
    assert all(torch.equal(a, b) for a, b in zip(whole, rest, strict=True))
    used = KINDS[kind][0](parameters())
    used.load_state_dict(state)  # the steps above have not changed it
    assert str(used.state_dict()) == str(state)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.pop("exp_avg"),
        lambda state: state["exp_avg"].pop(),
        lambda state: state["step"].pop(),
        lambda state: state["exp_avg_sq"].reverse(),
    ],
)
def test_a_state_of_other_parameters_is_refused_and_changes_nothing(spoil):
    stepper = AdamStepper(parameters())
    stepper.step(gradients(0), 0.1)
    before, state = str(stepper.state_dict()), stepper.state_dict()
    spoil(state)
    with pytest.raises(ValueError, match=r"optimizer's '(step|exp_avg|exp_avg_sq)'"):
        stepper.load_state_dict(state)
    assert str(stepper.state_dict()) == before


def test_making_a_step_does_not_import_the_compiler():
    program = (
        "import sys, torch\n"
        "from grata_monai.state import AdamStepper, SgdStepper\n"
        "parameters = [torch.nn.Parameter(torch.ones(2))]\n"
        "for stepper in (AdamStepper(parameters), SgdStepper(parameters, momentum=0.9)):\n"
        "    stepper.step([torch.ones(2)], 0.1)\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
