# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DomainAdaptor: mixed statistics absorbed by scale and shift, then generalized entropy."""

from __future__ import annotations

from typing import Literal, cast

from torch import Tensor

from grata_monai._checks import check_choice
from grata_monai.adapters.base import LifeCycle, Predict
from grata_monai.adapters.gradient import GradientAdapter
from grata_monai.functional.entropy import GeneralizedEntropyKind
from grata_monai.functional.gradients import gradient_norm
from grata_monai.objectives.generalized_entropy import GemClasses, GeneralizedEntropy
from grata_monai.state import StatisticsPolicy
from grata_monai.state.adaptive_mixing import AdaptiveMixing


class DomainAdaptor(GradientAdapter):
    r"""Mix source and current statistics, let scale and shift absorb it, make one step on GEM.

    For every BN layer with source statistics s and current ones t (unbiased variance),

    .. math::
        \gamma' = \gamma \sqrt{\frac{v_t + \epsilon}{v_m + \epsilon}}, \qquad
        \beta' = \beta + \gamma \frac{\lambda (\mu_t - \mu_s)}{\sqrt{v_m + \epsilon}}, \qquad
        v_m = \lambda v_s + (1 - \lambda) v_t

    give with t alone what mixed statistics gave (AdaMixBN with the statistics transformation);
    λ is 1/2 for a single image (see ``adaptive_source_share`` for batches). One step of gradient
    descent on the generalized entropy then moves γ' and β'.

    Args:
        loss: ``"gem_t"`` (authors' scripts) or ``"gem_skd"`` (see ``GeneralizedEntropy``).
        classes: What is a class: ``"nested3"`` (background, rim, cup), ``"channel"`` or
            ``"binary"``; the original has softmax classes, so this choice is ours.
        statistics: ``"rectified"``, the transformation above; or ``"mixed"``: layers normalize
            with the mixture itself, whose gradient goes through the current statistics as usual
            (our online variant).
        beta: Learning rate, >= 0; 1e-3 (authors).
        momentum: Of the descent, in [0, 1); 0 (authors; 0.9 in their online mode).
        life_cycle: When to go back to the source; ``"per_image"`` as in the authors' code. With
            another one, steps pile up on the source's γ and β, and each image's rectification is
            taken anew from the sum.
        predict: ``"after_update"`` as in the authors' code.
        seed: Of no effect.

    Reference:
        J. Zhang, L. Qi, Y. Shi, Y. Gao, "DomainAdaptor: A Novel Approach to Test-time
        Adaptation", ICCV 2023, arXiv:2308.10297.

    Differs from the reference code: segmentation with sigmoids; every BN layer of the network
    takes part (there: of the classifier's whole trunk); the rectification is added to γ and β
    while the image lasts instead of overwriting them, so that it can also be used online; GEM-Aug
    is left out.
    """

    def __init__(
        self,
        *,
        loss: GeneralizedEntropyKind = "gem_t",
        classes: GemClasses = "nested3",
        statistics: Literal["rectified", "mixed"] = "rectified",
        beta: float = 1e-3,
        momentum: float = 0.0,
        life_cycle: LifeCycle = "per_image",
        predict: Predict = "after_update",
        seed: int = 0,
    ) -> None:
        super().__init__(
            beta=beta, momentum=momentum, life_cycle=life_cycle, predict=predict, seed=seed
        )
        check_choice("DomainAdaptor", "loss", loss, ("gem_t", "gem_skd"))
        check_choice("DomainAdaptor", "classes", classes, ("nested3", "channel", "binary"))
        check_choice("DomainAdaptor", "statistics", statistics, ("rectified", "mixed"))
        self.loss = loss
        self.classes = classes
        self.statistics = statistics
        self._objective = GeneralizedEntropy(kind=loss, classes=classes)

    def _policy(self) -> StatisticsPolicy:
        return AdaptiveMixing(rectify=self.statistics == "rectified")

    def _update(self, images: Tensor) -> dict[str, float]:
        policy = cast("AdaptiveMixing", self._bound().policy)
        with policy.capturing():
            loss, gradients = self._gradients(self._objective, images)
        self._stepper.step(gradients, self.beta)
        if self.predict == "before_update":
            policy.forget()  # the next image is predicted before its own are captured
        return {
            "loss": loss,
            "gradient_norm": gradient_norm(gradients),
            "learning_rate": self.beta,
        }
