# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""One training iteration on the segmentation and the self-supervised heads together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from monai.data import MetaTensor
from monai.engines import SupervisedTrainer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai._checks import check_number
from grata_monai.objectives import Objective, build_objective
from grata_monai.training.checkpoints import unwrapped


class JointIteration:
    r"""``iteration_update`` of a MONAI ``SupervisedTrainer`` that also trains auxiliary heads.

    .. math:: L = L_{seg} + w\,(L_{rec} + L_{den} + L_{sup} + L_{rot})

    with those of the four that are asked for. The trainer's own iteration runs, with its events,
    mixed precision and gradient accumulation; only the loss it computes has the further terms.
    They stand beside the sum in ``engine.state.output`` as ``loss_segmentation``,
    ``loss_reconstruction`` and so on. Running statistics outside the heads come from the
    segmentation pass alone: noisy, turned or small images are not what the source looks like.

    Args:
        objectives: Objectives or their names; the network must have their heads
            (``grata_monai.networks.WithHeads``). None at all leaves the segmentation loss.
        weight: w, >= 0. Not published by the authors; 0.1 to 1 is sensible.
        seed: Seed of the objectives' draws. Each iteration draws anew from the seed and its
            number, so training that was interrupted goes on with the same draws.

    Raises:
        ValueError: For an unknown objective, one without a head, or a negative weight.

    Reference:
        Z. Chen et al., AAAI 2025, Table 5. How the authors trained the heads is not published;
        training jointly on the same batches is our choice.
    """

    def __init__(
        self, objectives: Sequence[Objective | str] = (), *, weight: float = 0.1, seed: int = 0
    ) -> None:
        check_number("JointIteration", "weight", weight, minimum=0.0)
        check_number("JointIteration", "seed", seed, minimum=0, integer=True)
        self.objectives = tuple(build_objective(objective) for objective in objectives)
        self.weight = weight
        self.seed = seed
        for objective in self.objectives:
            if objective.required_head is None:
                raise ValueError(
                    f"The 'objectives' parameter of JointIteration takes those of heads; "
                    f"{type(objective).__name__} has none."
                )

    def __call__(self, engine: SupervisedTrainer, batch: Any) -> Any:
        """Run one iteration of the trainer with the joint loss."""
        segmentation_loss = engine.loss_function
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + engine.state.iteration)

        def joint_loss(logits: Tensor, target: Tensor) -> Tensor:
            """Return the segmentation loss plus those of the heads on the same images."""
            output = engine.state.output
            total: Tensor = segmentation_loss(logits, target).mean()
            output["loss_segmentation"] = total
            images = output["image"]
            plain = images.as_tensor() if isinstance(images, MetaTensor) else images
            # The heads hang on the replica itself. All terms are added before the one backward
            # pass, so a data-parallel wrapper still averages each gradient once.
            network = unwrapped(engine.network)
            with _running_statistics_kept(network):
                for objective in self.objectives:
                    loss = objective(network, plain, generator)
                    output[f"loss_{objective.required_head}"] = loss
                    total = total + self.weight * loss
            return total

        engine.loss_function = joint_loss
        try:
            return SupervisedTrainer._iteration(engine, engine, batch)
        finally:
            engine.loss_function = segmentation_loss


@contextmanager
def _running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Let batch normalization outside the heads update no running statistics during a block."""
    layers = [
        module
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm) and not name.startswith("heads.")
    ]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
