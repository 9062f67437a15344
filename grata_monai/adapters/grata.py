# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""GraTa: gradient alignment with a dynamic learning rate."""

from __future__ import annotations

from torch import nn

from grata_monai._checks import check_choice
from grata_monai.adapters.base import LifeCycle, Predict
from grata_monai.adapters.gradient import GradientAdapter, Probe, Steps
from grata_monai.functional.gradients import cosine_similarity, gradient_norm
from grata_monai.functional.lr_mappings import LR_MAPPINGS
from grata_monai.objectives import Objective, build_objective


class GraTa(GradientAdapter):
    r"""Align a pseudo gradient with an auxiliary one; step by how well they agree.

    For each image x, with θ the scale and shift of all BN layers, which normalize with the
    current image's statistics throughout:

    .. math::
        g_a &= \nabla L_{aux}(\theta; x), \qquad \theta' = \theta - g_a \\
        g_p &= \nabla L_{pse}(\theta'; x), \qquad c = \cos(g_a, g_p) \\
        \eta &= \beta\, \phi(c), \quad \phi(c) = \tfrac14 (c + 1)^2, \qquad
        \theta \leftarrow \mathrm{Adam}(\theta, g_p, \eta)

    (paper Eq. 4-8). Adam's moments carry over images; η never exceeds β and is β/4 where the
    gradients are orthogonal, so it is also a smaller learning rate than β.

    Args:
        auxiliary: Objective (or its name) whose gradient shifts θ before the pseudo gradient is
            taken. None or ``"none"``: no shift and η = β (the "con, β" row of Table 2).
        pseudo: Objective (or its name) whose gradient is stepped with.
        mapping: φ, one of quadratic (the paper's), linear, sigmoid, relu, softplus (Table 4), or
            constant (φ = 1, "con aligned, β" of Table 2).
        beta: β, 1e-4 (paper, implementation details).
        betas: Decay of Adam's moments; torch's defaults, as in the authors' code.
        life_cycle: When to go back to the source (see ``Adapter``); ``"per_dataset"`` is the
            paper's protocol.
        predict: ``"after_update"`` is the paper's protocol.
        seed: Seed of the strong view's draws.

    Reference:
        Z. Chen, Y. Ye, Y. Pan, Y. Xia, "Gradient Alignment Improves Test-Time Adaptation for
        Medical Image Segmentation", AAAI 2025, arXiv:2408.07343.

    Differs from the reference code: seeded; never augments in place; parameters that a loss does
    not reach count as zero gradients in norms and in Adam; only the segmentation network's BN
    layers and those of heads in use are touched by gradients.
    """

    def __init__(
        self,
        *,
        auxiliary: Objective | str | None = "entropy",
        pseudo: Objective | str = "consistency",
        mapping: str = "quadratic",
        beta: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        life_cycle: LifeCycle = "per_dataset",
        predict: Predict = "after_update",
        seed: int = 0,
    ) -> None:
        super().__init__(beta=beta, betas=betas, life_cycle=life_cycle, predict=predict, seed=seed)
        check_choice("GraTa", "mapping", mapping, LR_MAPPINGS)
        self.auxiliary = None
        if auxiliary is not None and auxiliary != "none":
            self.auxiliary = build_objective(auxiliary, owner="GraTa", parameter="auxiliary")
        self.pseudo = build_objective(pseudo, owner="GraTa", parameter="pseudo")
        self.mapping = mapping

    def _check(self, network: nn.Module) -> None:
        for objective in (self.auxiliary, self.pseudo):
            if objective is not None:
                objective.check(network)

    def _steps(self) -> Steps:
        if self.auxiliary is None:
            return (yield from self._plain_step())
        auxiliary_loss, auxiliary_gradients = yield Probe(self.auxiliary)
        pseudo_loss, pseudo_gradients = yield Probe(self.pseudo, shift=auxiliary_gradients)
        cosine = cosine_similarity(auxiliary_gradients, pseudo_gradients)
        learning_rate = self.beta * LR_MAPPINGS[self.mapping](cosine)
        self._stepper.step(pseudo_gradients, learning_rate)
        return {
            "auxiliary_loss": auxiliary_loss,
            "pseudo_loss": pseudo_loss,
            "auxiliary_norm": gradient_norm(auxiliary_gradients),
            "pseudo_norm": gradient_norm(pseudo_gradients),
            "cosine": cosine,
            "learning_rate": learning_rate,
        }

    def _plain_step(self) -> Steps:
        loss, gradients = yield Probe(self.pseudo)
        self._stepper.step(gradients, self.beta)
        return {
            "pseudo_loss": loss,
            "pseudo_norm": gradient_norm(gradients),
            "learning_rate": self.beta,
        }
