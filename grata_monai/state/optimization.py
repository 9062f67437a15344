# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Move chosen parameters: for a moment (and exactly back), or by a step of an optimizer."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from grata_monai.functional.gradients import flatten


class NonFiniteUpdateError(ArithmeticError):
    """An image, loss or gradient was NaN or infinite; nothing has been changed."""


def require_finite(what: str, tensors: Sequence[Tensor]) -> None:
    """Check that all values are finite.

    Raises:
        NonFiniteUpdateError: If one is not.
    """
    if not bool(torch.isfinite(flatten(tensors)).all()):
        raise NonFiniteUpdateError(f"The {what} is not finite.")


@contextmanager
def replaced(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> Iterator[None]:
    """Run a block at other values; the parameters' own come back bit for bit, always."""
    saved = [parameter.detach().clone() for parameter in parameters]
    try:
        with torch.no_grad():
            for parameter, value in zip(parameters, values, strict=True):
                parameter.copy_(value)
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, saved, strict=True):
                parameter.copy_(value)


@contextmanager
def displaced(parameters: Sequence[nn.Parameter], direction: Sequence[Tensor]) -> Iterator[None]:
    """Run a block at ``θ - direction``; θ comes back bit for bit, also after an exception.

    Adding the direction again would not do: floating-point subtraction has no exact inverse.
    """
    values = [p.detach() - step for p, step in zip(parameters, direction, strict=True)]
    with replaced(parameters, values):
        yield


class Stepper:
    """Optimizer that is given gradients and a learning rate at each step.

    Args:
        parameters: The parameters to move.
        optimizer: A torch optimizer of these parameters with one group.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer
    ) -> None:
        self.parameters = list(parameters)
        self.optimizer = optimizer

    def step(self, gradients: Sequence[Tensor], learning_rate: float) -> None:
        """Make one step; moments and momentum carry over, no ``.grad`` is left behind.

        Raises:
            NonFiniteUpdateError: If a gradient is not finite; then nothing has changed.
        """
        require_finite("gradient", gradients)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the optimizer's moments and step counters."""
        return copy.deepcopy(self.optimizer.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a copy of moments and step counters, not of settings."""
        own = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict(copy.deepcopy(state) | {"param_groups": own})


class AdamStepper(Stepper):
    """Adam that is given gradients and a learning rate at each step.

    Args:
        parameters: The parameters to move.
        betas: Decay of the two moments.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], *, betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        super().__init__(parameters, torch.optim.Adam(list(parameters), lr=0.0, betas=betas))


class SgdStepper(Stepper):
    """Stochastic gradient descent that is given gradients and a learning rate at each step.

    Args:
        parameters: The parameters to move.
        momentum: Share of the last step's direction that is kept, in [0, 1).
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, momentum: float = 0.0) -> None:
        super().__init__(parameters, torch.optim.SGD(list(parameters), lr=0.0, momentum=momentum))
