# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""SAR: entropy minimization on reliable pixels, towards flat minima."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from grata_monai._checks import check_number
from grata_monai.adapters.base import LifeCycle, Predict
from grata_monai.adapters.gradient import GradientAdapter
from grata_monai.functional.entropy import binary_entropy
from grata_monai.functional.gradients import gradient_norm
from grata_monai.objectives import Objective
from grata_monai.state import bn_affine_parameters, displaced

UNCERTAIN_ENTROPY = 0.01
EMA_DECAY = 0.9


class SAR(GradientAdapter):
    r"""Sharpness-aware, reliable entropy minimization.

    With H the full binary entropy of each pixel and channel and :math:`E_0 = 0.4 \ln 2`:

    .. math::
        S_1 &= \{H(\theta) < E_0\}, \qquad
        g_1 = \nabla\, \mathrm{mean}_{S_1} H(\theta), \qquad
        \hat\epsilon = \rho\, g_1 / \|g_1\| \\
        S_2 &= \{s \in S_1 : H(\theta + \hat\epsilon) < E_0\}, \qquad
        g_2 = \nabla\, \mathrm{mean}_{S_2} H(\theta + \hat\epsilon)

    and one step of stochastic gradient descent from θ along :math:`g_2`. If S₁ or S₂ is empty no
    step is made. Optionally, an average e ← 0.9 e + 0.1 m (at first e = m) of the mean entropy m
    of those in S₂ that are not all but certain (H > 0.01) tells a collapse: where it falls below
    ``reset_threshold`` network and momentum go back to the source and e starts anew.

    Args:
        beta: Learning rate, >= 0; 1e-4 (a follower's on fundus images; the authors' 2.5e-4 for
            large batches of photographs, 1.6e-5 for single ones).
        momentum: Of the descent, in [0, 1); 0.9 (authors).
        rho: ρ >= 0, length of the climb; 0.05 (authors).
        entropy_factor: E₀ in units of ln 2, > 0; 0.4 (authors), which keeps p < 0.079 and
            p > 0.921.
        reset_threshold: Reset below this average, or None for never (default). The authors' 0.2
            of ln 1000 would be 0.02 here, but confident networks always lie near it.
        exclude: Modules whose batch normalization stays; the deepest encoder stage, as in the
            authors' code. Modules that the network lacks do not matter.
        life_cycle: When to go back to the source (see ``Adapter``).
        predict: ``"after_update"`` as all methods here; the authors' code predicts
            ``"before_update"``.
        seed: Of no effect.

    Reference:
        S. Niu et al., "Towards Stable Test-Time Adaptation in Dynamic Wild World", ICLR 2023,
        arXiv:2302.12400.

    Differs from the reference code: sigmoid entropies of pixels take the place of softmax
    entropies of images; after a reset the average is really forgotten and the momentum cleared;
    without reliable pixels there is no step (there, the momentum still moves).
    """

    def __init__(
        self,
        *,
        beta: float = 1e-4,
        momentum: float = 0.9,
        rho: float = 0.05,
        entropy_factor: float = 0.4,
        reset_threshold: float | None = None,
        exclude: Sequence[str] = ("encoder.layer4",),
        life_cycle: LifeCycle = "per_dataset",
        predict: Predict = "after_update",
        seed: int = 0,
    ) -> None:
        super().__init__(
            beta=beta, momentum=momentum, life_cycle=life_cycle, predict=predict, seed=seed
        )
        check_number("SAR", "rho", rho, minimum=0.0)
        check_number("SAR", "entropy_factor", entropy_factor, minimum=1e-9)
        if reset_threshold is not None:
            check_number("SAR", "reset_threshold", reset_threshold, minimum=0.0)
        if not isinstance(exclude, (list, tuple)) or not all(isinstance(n, str) for n in exclude):
            raise TypeError(
                "The 'exclude' parameter of SAR must be a list of module names, such as "
                f"['encoder.layer4']. Got {exclude!r}."
            )
        self.rho = rho
        self.entropy_factor = entropy_factor
        self.reset_threshold = reset_threshold
        self.exclude = tuple(exclude)

    def _parameters(self, network: nn.Module) -> dict[str, nn.Parameter]:
        super()._parameters(network)  # warns of half precision
        return bn_affine_parameters(network, exclude=self.exclude)

    def _start(self) -> None:
        super()._start()
        self.ema_: float | None = None

    def _update(self, images: Tensor) -> dict[str, float]:
        parameters = list(self._bound().parameters.values())
        objective = _ReliableEntropy(self.entropy_factor * math.log(2.0))
        first_loss, first_gradients = self._gradients(objective, images)
        first_share = objective.share
        if not first_share:
            return self._trace(first_loss, math.nan, 0.0, 0.0)
        climb = self.rho / (gradient_norm(first_gradients) + 1e-12)
        with displaced(parameters, [-climb * gradient for gradient in first_gradients]):
            second_loss, second_gradients = self._gradients(objective, images)
        if not objective.share:
            return self._trace(first_loss, second_loss, first_share, 0.0)
        self._stepper.step(second_gradients, self.beta)
        was_reset = self._watch(objective.uncertain_entropy)
        return {
            **self._trace(first_loss, second_loss, first_share, objective.share),
            "learning_rate": self.beta,
            "reset": float(was_reset),
        }

    def _trace(
        self, first: float, second: float, first_share: float, share: float
    ) -> dict[str, float]:
        return {
            "loss": first,
            "climbed_loss": second,
            "reliable": first_share,
            "climbed_reliable": share,
            "ema": math.nan if self.ema_ is None else self.ema_,
            "learning_rate": 0.0,
            "reset": 0.0,
        }

    def _watch(self, uncertain_entropy: float) -> bool:
        """Move the average; go back to the source if it tells a collapse."""
        if math.isnan(uncertain_entropy):
            return False
        before = uncertain_entropy if self.ema_ is None else self.ema_
        self.ema_ = EMA_DECAY * before + (1.0 - EMA_DECAY) * uncertain_entropy
        if self.reset_threshold is None or self.ema_ >= self.reset_threshold:
            return False
        self._bound().snapshot.restore_values()
        self._start()
        return True

    def _method_state(self) -> dict[str, Any]:
        return {**super()._method_state(), "ema": self.ema_}

    def _load_method_state(self, state: dict[str, Any]) -> None:
        super()._load_method_state(state)
        self.ema_ = None if state["ema"] is None else float(state["ema"])


class _ReliableEntropy(Objective):
    """Mean entropy of the pixels and channels that were reliable at every call so far."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.share = 0.0
        self.uncertain_entropy = math.nan
        self._reliable: Tensor | None = None

    def __call__(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean, which is 0 if there is no such pixel."""
        entropies = binary_entropy(network(images))
        values = entropies.detach()
        reliable = values < self.threshold
        if self._reliable is not None:
            reliable &= self._reliable
        self._reliable = reliable
        self.share = float(reliable.float().mean())
        self.uncertain_entropy = float(values[reliable & (values > UNCERTAIN_ENTROPY)].mean())
        return (entropies * reliable).sum() / reliable.sum().clamp_min(1)
