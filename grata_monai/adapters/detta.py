# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DeTTA: adaptation by denoising."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grata_monai._checks import check_number
from grata_monai.adapters.base import LifeCycle, Predict
from grata_monai.adapters.gradient import GradientAdapter
from grata_monai.functional.ensembles import mixture_logits
from grata_monai.functional.gradients import gradient_norm
from grata_monai.functional.precision import at_least_single
from grata_monai.objectives.blind_spot import BlindSpot


class DeTTA(GradientAdapter):
    r"""One Adam step per image on the error of a denoising head at blind spots.

    .. math:: L_{den} = \mathrm{mean}\, |(1 - B) (\sigma(d_\theta(\tilde x)) - x)|

    where a tenth of the pixels (B = 0) is replaced in :math:`\tilde x` by random neighbours (see
    ``BlindSpot``). The error reaches the encoder and the denoising head, not the segmentation
    decoder. The source must have been trained with a ``"denoising"`` head.

    Args:
        fraction: Share of pixels to draw, in [0, 1]; 0.1 (authors).
        radius: Largest distance of the neighbour along each axis, >= 0; 2 (authors).
        corrupted_copies: Predict the mean probability of so many corrupted copies of the image,
            >= 0; 0 predicts the image itself. The authors predict 1, or 2 with their
            ``--average``.
        beta: Learning rate, >= 0; 1e-4 as the other methods here (the authors' 1e-6, for eight
            images at a time, hardly moves anything in one step).
        betas: Decay of Adam's moments; (0.9, 0.99) (authors).
        life_cycle: When to go back to the source (see ``Adapter``).
        predict: ``"after_update"`` as in the authors' code.
        seed: Seed of the blind spots.

    Raises:
        ValueError: When bound to a network without a ``"denoising"`` head.

    Reference:
        R. Wen et al., "From Denoising Training to Test-Time Adaptation: Enhancing Domain
        Generalization for Medical Image Segmentation", WACV 2024, arXiv:2310.20271.

    Differs from the reference code: layers normalize with the current image and no running
    statistics move; image by image instead of a loader of eight, and without the attribute error
    that stops the released script at its first step; the denoising head of ``WithHeads`` reads
    the bottleneck alone (there: a decoder with skip connections).
    """

    def __init__(
        self,
        *,
        fraction: float = 0.1,
        radius: int = 2,
        corrupted_copies: int = 0,
        beta: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        life_cycle: LifeCycle = "per_dataset",
        predict: Predict = "after_update",
        seed: int = 0,
    ) -> None:
        super().__init__(beta=beta, betas=betas, life_cycle=life_cycle, predict=predict, seed=seed)
        check_number("DeTTA", "fraction", fraction, minimum=0.0, maximum=1.0)
        check_number("DeTTA", "radius", radius, minimum=0, integer=True)
        check_number("DeTTA", "corrupted_copies", corrupted_copies, minimum=0, integer=True)
        self.fraction = fraction
        self.radius = radius
        self.corrupted_copies = corrupted_copies
        self._objective = BlindSpot(fraction=fraction, radius=radius)

    def _check(self, network: nn.Module) -> None:
        self._objective.check(network)

    def _update(self, images: Tensor) -> dict[str, float]:
        loss, gradients = self._gradients(self._objective, images)
        self._stepper.step(gradients, self.beta)
        return {
            "loss": loss,
            "gradient_norm": gradient_norm(gradients),
            "learning_rate": self.beta,
        }

    def _predict(self, images: Tensor) -> Tensor:
        if not self.corrupted_copies:
            return super()._predict(images)
        # A copy of the generator: what is drawn here must not shift the draws of later images.
        generator = torch.Generator()
        generator.set_state(self._generator.get_state())
        copies = (
            self._objective.corrupt(images, generator)[0] for _ in range(self.corrupted_copies)
        )
        logits = torch.stack([super(DeTTA, self)._predict(copy) for copy in copies])
        exact = at_least_single(logits)
        weights = exact.new_full((len(exact), *[1] * images.ndim), 1.0 / len(exact))
        return mixture_logits(exact, weights).to(logits.dtype)
