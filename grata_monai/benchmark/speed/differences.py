# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How far the logits of every path are from those of the textbook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from grata_monai.benchmark.speed.inputs import Images
from grata_monai.benchmark.speed.lanes import Lane
from grata_monai.benchmark.speed.runners import textbook_arguments, textbook_runner
from grata_monai.execution import Execution
from grata_monai.transforms.random_view import RandomView
from grata_monai.transforms.style import StrongView


def note_differences(
    method: str,
    lanes: Sequence[Lane],
    images: Images,
    source: nn.Module,
    device: torch.device,
    *,
    seed: int,
) -> None:
    """Write the largest differences from the textbook into the rows of lanes after their warm-up.

    Nothing where no textbook is among the lanes, or the method draws random numbers that it cannot
    be given.

    Args:
        method: The method's id.
        lanes: Of one method and size.
        images: Their stream.
        source: Their source network.
        device: Where they are.
        seed: Of the methods.
    """
    wanted = [lane for lane in lanes if lane.logits and not lane.path.is_textbook]
    works = any(lane.is_open and lane.path.is_textbook for lane in lanes)
    if not (wanted and works):
        return
    draws = _draws_of_adapters(seed)
    arguments = {name: draws[name] for name in textbook_arguments(method) & set(draws)}
    if not arguments and any(lane.draws for lane in wanted):
        return
    count = max(len(lane.logits) for lane in wanted)
    oracle = _oracle(method, images, source, device, seed=seed, count=count, **arguments)
    for lane in wanted:
        # Episodes begin at the source each time; textbooks do so for the first image only.
        pairs = list(zip(lane.logits, oracle, strict=False))[: 1 if lane.is_episodic else None]
        lane.row.logit_difference = max(_largest(a[:1], b) for a, b in pairs)
        lane.row.probability_difference = max(
            _largest(torch.sigmoid(a[:1]), torch.sigmoid(b)) for a, b in pairs
        )


def _oracle(
    method: str,
    images: Images,
    source: nn.Module,
    device: torch.device,
    *,
    seed: int,
    count: int,
    **arguments: Any,
) -> list[Tensor]:
    """Return the textbook's logits of the first images, in full precision."""
    with textbook_runner(method, source, device, seed=seed, **arguments) as runner:
        exact = Execution().running(runner.network) if device.type == "cuda" else nullcontext()
        with exact:
            return [runner.step(images.batch(k)).detach().float().cpu() for k in range(count)]


def _draws_of_adapters(seed: int) -> dict[str, Callable[[Tensor], Any]]:
    """Return what textbooks can be given, by argument, with the numbers that adapters draw."""
    generator = torch.Generator().manual_seed(seed)
    strong = StrongView()

    def view(images: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        drawn = RandomView().draw(images, generator)
        return drawn.apply(images), drawn.invert

    return {
        "strong_view": lambda images: strong(images, generator),
        "draw_view": view,
        "draw_uniform": lambda like: torch.rand(like.shape, generator=generator).to(like.device),
    }


def _largest(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max())
