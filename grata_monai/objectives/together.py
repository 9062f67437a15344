# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluate an objective for several images apart, with passes of the network in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from grata_monai.networks.separate_samples import current_group_size, separate_samples
from grata_monai.objectives.base import Objective, SupportsHeads


def losses_together(
    objective: Objective,
    network: nn.Module,
    images: Sequence[Tensor],
    generators: Sequence[torch.Generator],
) -> list[Tensor]:
    """Return the objective's loss of each image as if there were no other.

    The objective runs for each image up to its first call of the network. The calls of all are
    made as one batch, and the objective starts over with the same random numbers, finds this call
    answered, and runs up to the next one. So objectives need not know of this: one that calls the
    network n times does its own work up to n + 1 times, the network its own once.

    Args:
        objective: Any objective whose work is set by images, answers and generator.
        network: Its batch normalization must separate samples, see ``separate_samples``.
        images: Each a batch of its own, all of one shape.
        generators: The generator of each; afterwards where the objective alone leaves it.

    Raises:
        RuntimeError: If the objective calls the network for some of the images only, or with
            inputs of different shapes.
    """
    if len(images) == 1:
        return [objective(network, images[0], generators[0])]
    starts = [generator.get_state() for generator in generators]
    answers: list[list[Tensor]] = [[] for _ in images]
    while True:
        losses, calls = [], []
        for image, generator, start, known in zip(images, generators, starts, answers, strict=True):
            generator.set_state(start)
            try:
                losses.append(objective(_Spokesman(network, known), image, generator))
            except _UnansweredCall as call:
                calls.append(call.call)
        if not calls:
            return losses
        if losses or len({call.kind for call in calls}) > 1:
            raise RuntimeError(
                f"{type(objective).__name__} does not call the network alike for all images, so "
                "that their calls make no batch; adapt to one image at a time."
            )
        for known, answer in zip(answers, _answers(network, calls), strict=True):
            known.append(answer)


@dataclass(frozen=True)
class _Call:
    """A call of the network, or of a head of it, for one image."""

    images: Tensor
    head: str | None
    group_size: int
    with_gradient: bool

    @property
    def kind(self) -> tuple[object, ...]:
        """What calls in one batch must have in common."""
        return (self.images.shape, self.head, self.group_size, self.with_gradient)


class _UnansweredCall(BaseException):  # no Exception, which an objective might catch
    def __init__(self, call: _Call) -> None:
        super().__init__()
        self.call = call


class _Spokesman(nn.Module):
    """Stands for the network before an objective: repeats known answers, in their order."""

    def __init__(self, network: nn.Module, answers: Sequence[Tensor]) -> None:
        super().__init__()
        self.network = network
        self._answers = iter(answers)

    @property
    def heads(self) -> object:
        """The network's heads."""
        return getattr(self.network, "heads", {})

    def forward(self, images: Tensor) -> Tensor:
        return self._answer(images, None)

    def head(self, name: str, images: Tensor) -> Tensor:
        """Return the raw output of a head."""
        return self._answer(images, name)

    def _answer(self, images: Tensor, head: str | None) -> Tensor:
        known = next(self._answers, None)
        if known is not None:
            return known
        size = current_group_size(self.network) or len(images)
        raise _UnansweredCall(_Call(images, head, size, torch.is_grad_enabled()))


def _answers(network: nn.Module, calls: Sequence[_Call]) -> tuple[Tensor, ...]:
    """Return the network's output for each call."""
    first = calls[0]
    batch = torch.cat([call.images for call in calls])
    with torch.set_grad_enabled(first.with_gradient), separate_samples(network, first.group_size):
        if first.head is None:
            outputs = cast("Tensor", network(batch))
        else:
            outputs = cast("SupportsHeads", network).head(first.head, batch)
    # A copy: networks replayed by CUDA graphs use the memory of their output again.
    return torch.split(outputs.clone(), len(first.images))
