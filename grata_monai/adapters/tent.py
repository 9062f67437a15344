# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""TENT: entropy minimization."""

from __future__ import annotations

from torch import nn

from grata_monai.adapters.base import LifeCycle, Predict
from grata_monai.adapters.gradient import GradientAdapter, Probe, Steps
from grata_monai.functional.gradients import gradient_norm
from grata_monai.objectives import Objective, build_objective


class Tent(GradientAdapter):
    r"""One Adam step per image on the entropy of the prediction.

    .. math:: \theta \leftarrow \theta - \beta\, \mathrm{Adam}(\nabla_\theta L_{ent}(\theta; x))

    Args:
        objective: Loss to minimize, an ``Objective`` or its name; the one-sided entropy that the
            GraTa paper's TENT row uses.
        beta: Learning rate; 1e-4 as in that row.
        betas: Decay of Adam's moments.
        life_cycle: When to go back to the source (see ``Adapter``).
        predict: ``"after_update"`` as in that row; TENT's own code predicts
            ``"before_update"``.
        seed: Seed of the objective's random draws, if it has any.

    Reference:
        D. Wang et al., "Tent: Fully Test-Time Adaptation by Entropy Minimization", ICLR 2021,
        arXiv:2006.10726.

    Differs from the reference code: one-sided sigmoid entropy, learning rate 1e-4 and prediction
    after the update, as GraTa's Table 3 implies; the source's running buffers are kept.
    """

    def __init__(
        self,
        *,
        objective: Objective | str = "entropy",
        beta: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        life_cycle: LifeCycle = "per_dataset",
        predict: Predict = "after_update",
        seed: int = 0,
    ) -> None:
        super().__init__(beta=beta, betas=betas, life_cycle=life_cycle, predict=predict, seed=seed)
        self.objective = build_objective(objective, owner="Tent", parameter="objective")

    def _check(self, network: nn.Module) -> None:
        self.objective.check(network)

    def _steps(self) -> Steps:
        loss, gradients = yield Probe(self.objective)
        self._stepper.step(gradients, self.beta)
        return {
            "loss": loss,
            "gradient_norm": gradient_norm(gradients),
            "learning_rate": self.beta,
        }
