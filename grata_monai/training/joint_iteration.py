# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""One training iteration on the segmentation and the self-supervised heads, or on these alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from monai.data import MetaTensor
from monai.engines import SupervisedTrainer
from torch import Tensor, nn
from torch.nn.functional import instance_norm
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai._checks import check_number
from grata_monai.objectives import Objective, build_objective
from grata_monai.state import PolicyHandle, StatisticsPolicy, bn_layers
from grata_monai.training.checkpoints import unwrapped

_HEADS = "heads."
_Loss = Callable[[Tensor, Tensor], Tensor]


class JointIteration:
    r"""``iteration_update`` of a MONAI ``SupervisedTrainer`` that also trains auxiliary heads.

    .. math:: L = L_{seg} + w\,(L_{rec} + L_{den} + L_{sup} + L_{rot})

    with those of the four that are asked for. The trainer's own iteration runs, with its events,
    mixed precision and gradient accumulation; only the loss it computes has the further terms.
    They stand beside the sum in ``engine.state.output`` as ``loss_segmentation``,
    ``loss_reconstruction`` and so on. Running statistics outside the heads come from the
    segmentation pass alone: noisy, turned or small images are not what the source looks like.

    With ``heads_only`` the loss is that of the heads, unweighted, and there is no segmentation
    pass:

    .. math:: L = L_{rec} + L_{den} + L_{sup} + L_{rot}

    Nothing outside the heads changes by a bit, running statistics and counters included: it is
    frozen during the pass. Batch normalization outside the heads then uses each image's own
    statistics, because that is what the adaptation of single images shows the heads later; under
    the running ones they would learn from features that they never meet again. Inside the heads
    it trains as usual. Give the optimizer the parameters of the heads alone.

    Args:
        objectives: Objectives or their names; the network must have their heads
            (``grata_monai.networks.WithHeads``). None at all leaves the segmentation loss.
        weight: w, >= 0. Not published by the authors; 0.1 to 1 is sensible.
        seed: Seed of the objectives' draws. Each iteration draws anew from the seed and its
            number, so training that was interrupted goes on with the same draws.
        heads_only: Train the heads alone, with the rest of the network frozen; ``weight`` then
            has no effect. For images of more than 32 pixels (64 with super-resolution), since
            one value per channel has no variance.

    Raises:
        ValueError: For an unknown objective, one without a head, a negative weight, or
            ``heads_only`` without objectives.

    Reference:
        Z. Chen et al., AAAI 2025, Table 5. How the authors trained the heads is not published;
        training jointly on the same batches, or the heads afterwards, are our choices.
    """

    def __init__(
        self,
        objectives: Sequence[Objective | str] = (),
        *,
        weight: float = 0.1,
        seed: int = 0,
        heads_only: bool = False,
    ) -> None:
        check_number("JointIteration", "weight", weight, minimum=0.0)
        check_number("JointIteration", "seed", seed, minimum=0, integer=True)
        self.objectives = tuple(build_objective(objective) for objective in objectives)
        self.weight = weight
        self.seed = seed
        self.heads_only = heads_only
        if heads_only and not self.objectives:
            raise ValueError(
                "The 'heads_only' parameter of JointIteration needs 'objectives', e.g. "
                "['rotation']; there is nothing to train. Got none."
            )
        for objective in self.objectives:
            if objective.required_head is None:
                raise ValueError(
                    f"The 'objectives' parameter of JointIteration takes those of heads; "
                    f"{type(objective).__name__} has none."
                )

    def __call__(self, engine: SupervisedTrainer, batch: Any) -> Any:
        """Run one iteration of the trainer with the joint loss, or with that of the heads."""
        inferer, loss_function = engine.inferer, engine.loss_function
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + engine.state.iteration)
        if self.heads_only:
            _refuse_distributed(engine.network)
            engine.inferer = _no_prediction
            engine.loss_function = self._loss_of_heads(engine, generator)
        else:
            engine.loss_function = self._joint_loss(engine, loss_function, generator)
        try:
            return SupervisedTrainer._iteration(engine, engine, batch)
        finally:
            engine.inferer, engine.loss_function = inferer, loss_function

    def _joint_loss(
        self, engine: SupervisedTrainer, segmentation_loss: _Loss, generator: torch.Generator
    ) -> _Loss:
        def joint_loss(logits: Tensor, target: Tensor) -> Tensor:
            """Return the segmentation loss plus those of the heads on the same images."""
            total: Tensor = segmentation_loss(logits, target).mean()
            engine.state.output["loss_segmentation"] = total
            # The heads hang on the replica itself. All terms are added before the one backward
            # pass, so a data-parallel wrapper still averages each gradient once.
            with _running_statistics_kept(unwrapped(engine.network)):
                for loss in self._losses(engine, generator):
                    total = total + self.weight * loss
            return total

        return joint_loss

    def _loss_of_heads(self, engine: SupervisedTrainer, generator: torch.Generator) -> _Loss:
        def loss_of_heads(logits: Tensor, target: Tensor) -> Tensor:
            """Return the sum of the heads' losses; logits and target have no part in it."""
            with _frozen_outside_heads(unwrapped(engine.network)):
                return torch.stack(list(self._losses(engine, generator))).sum()

        return loss_of_heads

    def _losses(self, engine: SupervisedTrainer, generator: torch.Generator) -> Iterator[Tensor]:
        """Yield each head's loss on the images of the iteration; it goes to the output, too."""
        output = engine.state.output
        images = output["image"]
        plain = images.as_tensor() if isinstance(images, MetaTensor) else images
        for objective in self.objectives:
            loss = objective(unwrapped(engine.network), plain, generator)
            output[f"loss_{objective.required_head}"] = loss
            yield loss


class _ImageStatistics(StatisticsPolicy):
    """Mean and biased variance of each image for itself: batches of one, many at a time."""

    needs_source = False

    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        if activations[0, 0].numel() < 2:
            raise ValueError(
                f"Layer {name!r} sees one value per channel of an image (activations of shape "
                f"{tuple(activations.shape)}), which has no variance; use larger images."
            )
        return instance_norm(activations, weight=layer.weight, bias=layer.bias, eps=layer.eps)


def _no_prediction(images: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
    """Stand in for an inferer where nothing is to be segmented."""
    return torch.zeros(())


def _refuse_distributed(network: nn.Module) -> None:
    if isinstance(network, nn.parallel.DistributedDataParallel):
        # Its gradients are averaged only after a pass through the wrapper, which is left out.
        raise ValueError(
            "The 'heads_only' parameter of JointIteration allows one process. Got a network in "
            "DistributedDataParallel; train the heads without it."
        )


@contextmanager
def _frozen_outside_heads(network: nn.Module) -> Iterator[None]:
    """Let no gradient and no running statistics reach anything outside the heads."""
    learning = [
        parameter
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and not name.startswith(_HEADS)
    ]
    layers = [(name, layer) for name, layer in bn_layers(network) if not name.startswith(_HEADS)]
    handle = PolicyHandle(layers, _ImageStatistics())
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        handle.remove()
        for parameter in learning:
            parameter.requires_grad_(True)


@contextmanager
def _running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Let batch normalization outside the heads update no running statistics during a block."""
    layers = [layer for name, layer in bn_layers(network) if not name.startswith(_HEADS)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
