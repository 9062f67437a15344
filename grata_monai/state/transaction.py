# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Undo what a block did to parameters and optimizer if it does not come to its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from grata_monai.state.optimization import Stepper


@contextmanager
def all_or_nothing(stepper: Stepper) -> Iterator[None]:
    """Run a block; if it raises, the stepper and its parameters are as before, bit for bit.

    For methods whose update calls the network again after the step.

    Args:
        stepper: Optimizer whose parameters, moments and counters are put back.
    """
    values = [parameter.detach().clone() for parameter in stepper.parameters]
    moments = stepper.state_dict()
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for parameter, value in zip(stepper.parameters, values, strict=True):
                parameter.copy_(value)
        stepper.load_state_dict(moments)
        raise
