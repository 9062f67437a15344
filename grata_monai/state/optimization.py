# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Move chosen parameters: for a moment (and exactly back), or by a step of an optimizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from grata_monai.functional.gradients import flatten

_STEPS = "step"


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


class Stepper(ABC):
    """Optimizer that is given gradients and a learning rate at each step.

    It calls torch's functions, not its ``Optimizer`` classes: making one of those imports torch's
    compiler, half a second before the first image.

    Args:
        parameters: The parameters to move.

    Attributes:
        moments: What is carried over from step to step, by torch's names, for each parameter.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.moments: dict[str, list[Tensor | None]] = {}

    def step(self, gradients: Sequence[Tensor], learning_rate: float) -> None:
        """Make one step; moments and momentum carry over, no ``.grad`` is left behind.

        Raises:
            NonFiniteUpdateError: If a gradient is not finite; then nothing has changed.
        """
        require_finite("gradient", gradients)
        with torch.no_grad():
            self._move(list(gradients), learning_rate)

    @abstractmethod
    def _move(self, gradients: list[Tensor], learning_rate: float) -> None:
        """Change parameters and moments in place."""

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the moments and step counters."""
        return {
            name: [None if value is None else value.clone() for value in values]
            for name, values in self.moments.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a copy of moments and step counters, not of settings.

        Raises:
            ValueError: If they are not those of such parameters; then nothing has changed.
        """
        loaded: dict[str, list[Tensor | None]] = {}
        for name, own in self.moments.items():
            given = state.get(name)
            if not isinstance(given, list) or len(given) != len(own):
                raise ValueError(f"the optimizer's {name!r} are not those of {len(own)} parameters")
            loaded[name] = [
                self._fitting(name, value, parameter)
                for value, parameter in zip(given, self.parameters, strict=True)
            ]
        self.moments = loaded

    def _fitting(self, name: str, value: Any, parameter: nn.Parameter) -> Tensor | None:
        if value is None:
            return None
        if name == _STEPS:
            return torch.as_tensor(value, dtype=torch.float32).clone()
        if value.shape != parameter.shape:
            raise ValueError(f"the optimizer's {name!r} has the shape {tuple(value.shape)}")
        return torch.empty_like(parameter, requires_grad=False).copy_(value)


class AdamStepper(Stepper):
    """Adam that is given gradients and a learning rate at each step.

    Args:
        parameters: The parameters to move.
        betas: Decay of the two moments.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], *, betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        super().__init__(parameters)
        self.betas = betas
        self.moments = {
            _STEPS: [torch.zeros(()) for _ in self.parameters],
            "exp_avg": [torch.zeros_like(p, requires_grad=False) for p in self.parameters],
            "exp_avg_sq": [torch.zeros_like(p, requires_grad=False) for p in self.parameters],
        }

    def _move(self, gradients: list[Tensor], learning_rate: float) -> None:
        moments = cast("dict[str, list[Tensor]]", self.moments)
        adam(
            cast("list[Tensor]", self.parameters),
            gradients,
            moments["exp_avg"],
            moments["exp_avg_sq"],
            [],
            moments[_STEPS],
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


class SgdStepper(Stepper):
    """Stochastic gradient descent that is given gradients and a learning rate at each step.

    Args:
        parameters: The parameters to move.
        momentum: Share of the last step's direction that is kept, in [0, 1).
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, momentum: float = 0.0) -> None:
        super().__init__(parameters)
        self.momentum = momentum
        self.moments = {"momentum_buffer": [None for _ in self.parameters]}

    def _move(self, gradients: list[Tensor], learning_rate: float) -> None:
        sgd(
            cast("list[Tensor]", self.parameters),
            gradients,
            self.moments["momentum_buffer"],
            weight_decay=0.0,
            momentum=self.momentum,
            lr=learning_rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
