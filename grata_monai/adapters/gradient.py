# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the gradient methods share: current statistics, BN scale and shift, a step of descent."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import nullcontext
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from grata_monai._checks import check_number
from grata_monai.adapters.base import Adapter, LifeCycle, Predict
from grata_monai.functional.gradients import compute_gradients
from grata_monai.objectives import Objective
from grata_monai.state import (
    AdamStepper,
    BatchStatistics,
    SgdStepper,
    StatisticsPolicy,
    Stepper,
    bn_affine_parameters,
    displaced,
    require_finite,
)

_logger = logging.getLogger(__name__)


class Probe(NamedTuple):
    """What a method wants to know of its images: an objective's loss and gradients.

    Args:
        objective: The objective.
        shift: Ask at θ - shift; None: at θ, the present parameters.
    """

    objective: Objective
    shift: list[Tensor] | None = None


class Slope(NamedTuple):
    """The answer to a probe."""

    loss: float
    gradients: list[Tensor]


Steps: TypeAlias = Generator[Probe, Slope, dict[str, float]]
"""Yields probes, is sent their answers, and returns numbers for the trace."""


class GradientAdapter(Adapter):
    """Base of methods that move the BN scale and shift under the current statistics.

    A method that needs no more of its images than losses and gradients of objectives writes
    ``_steps``, which leaves to others how these are computed (so ``BatchedEpisodes`` can for many
    images at once). Others write ``_update``.

    A method whose constructor takes ``momentum`` instead of ``betas`` steps by plain gradient
    descent, the others by Adam.

    Args:
        beta: Base learning rate, >= 0.
        betas: Decay of Adam's two moments, each in [0, 1); None for gradient descent.
        momentum: Of the descent, in [0, 1).
        life_cycle: See ``Adapter``.
        predict: See ``Adapter``.
        seed: See ``Adapter``.
    """

    def __init__(
        self,
        *,
        beta: float,
        betas: tuple[float, float] | None = None,
        momentum: float = 0.0,
        life_cycle: LifeCycle,
        predict: Predict,
        seed: int,
    ) -> None:
        super().__init__(life_cycle=life_cycle, predict=predict, seed=seed)
        owner = type(self).__name__
        check_number(owner, "beta", beta, minimum=0.0)
        check_number(owner, "momentum", momentum, minimum=0.0, maximum=1.0 - 1e-9)
        self.beta = beta
        if betas is None:
            self.momentum = momentum
        else:
            self.betas = _checked_betas(owner, betas)

    def _policy(self) -> StatisticsPolicy:
        return BatchStatistics()

    def _parameters(self, network: nn.Module) -> dict[str, nn.Parameter]:
        parameters = bn_affine_parameters(network)
        if any(p.dtype in (torch.float16, torch.bfloat16) for p in parameters.values()):
            _logger.warning(
                "The network's parameters have half precision, in which steps of %g may round to "
                "nothing; keep them in float32 and use autocast instead.",
                self.beta,
            )
        return parameters

    def _start(self) -> None:
        parameters = list(self._bound().parameters.values())
        self._stepper: Stepper
        if hasattr(self, "betas"):
            self._stepper = AdamStepper(parameters, betas=self.betas)
        else:
            self._stepper = SgdStepper(parameters, momentum=self.momentum)

    def _steps(self) -> Steps:
        """Yield what to ask of the images, take a step, and return numbers for the trace."""
        raise NotImplementedError(f"{type(self).__name__} must have _steps or _update.")

    def _update(self, images: Tensor) -> dict[str, float]:
        steps, slope = self._steps(), None
        while isinstance(probe := advance(steps, slope), Probe):
            parameters = list(self._bound().parameters.values())
            shifted = nullcontext() if probe.shift is None else displaced(parameters, probe.shift)
            with shifted:
                slope = Slope(*self._gradients(probe.objective, images))
        return probe

    def _gradients(self, objective: Objective, images: Tensor) -> tuple[float, list[Tensor]]:
        """Return loss and gradients of an objective at the present parameters.

        Raises:
            NonFiniteUpdateError: If one of them is not finite.
            RuntimeError: If the loss does not depend on the adapted parameters at all.
        """
        binding = self._bound()
        loss = objective(binding.network, images, self._generator)
        check_loss(loss, objective, binding.network)
        gradients = compute_gradients(loss, list(binding.parameters.values()))
        check_gradients(gradients, objective)
        return float(loss.detach()), gradients

    def _method_state(self) -> dict[str, Any]:
        return {"optimizer": self._stepper.state_dict()}

    def _load_method_state(self, state: dict[str, Any]) -> None:
        self._stepper.load_state_dict(state["optimizer"])


def advance(steps: Steps, slope: Slope | None) -> Probe | dict[str, float]:
    """Return a method's next probe, or the numbers for the trace once it has made its step.

    Args:
        steps: What the method does.
        slope: The answer to its last probe; None for the first.
    """
    try:
        return next(steps) if slope is None else steps.send(slope)
    except StopIteration as end:
        trace: dict[str, float] = end.value
        return trace


def check_loss(loss: Tensor, objective: Objective, network: nn.Module) -> None:
    """Check that a loss can be descended.

    Raises:
        NonFiniteUpdateError: If it is not finite.
        RuntimeError: If it does not depend on the adapted parameters at all.
    """
    name = type(objective).__name__
    require_finite(f"{name} loss", [loss.detach()])
    if not loss.requires_grad:
        raise RuntimeError(
            f"The {name} loss does not depend on the adapted parameters of "
            f"{type(network).__name__}: its forward runs under no_grad, or the "
            "parameters were frozen or replaced while the network was bound."
        )


def check_gradients(gradients: list[Tensor], objective: Objective) -> None:
    """Check that gradients are finite.

    Raises:
        NonFiniteUpdateError: If one is not.
    """
    require_finite(f"gradient of the {type(objective).__name__} loss", gradients)


def is_stepwise(adapter: Adapter) -> bool:
    """Whether a method is its ``_steps`` under batch statistics, and nothing else."""
    if not isinstance(adapter, GradientAdapter):
        return False
    own, base = type(adapter), GradientAdapter
    names = ("_update", "_gradients", "_policy", "_parameters", "_start", "_infer", "_predict")
    unchanged = all(getattr(own, name) is getattr(base, name) for name in names)
    return unchanged and own._steps is not base._steps


def _checked_betas(owner: str, betas: tuple[float, float]) -> tuple[float, float]:
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(f"The 'betas' parameter of {owner} must be two numbers. Got {betas!r}.")
    for decay in betas:
        check_number(owner, "betas", decay, minimum=0.0, maximum=1.0 - 1e-9)
    return (betas[0], betas[1])
