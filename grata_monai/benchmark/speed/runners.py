# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What is timed: a method on one of the package's paths, or its textbook form."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from grata_monai.adapters import Adapter, build_adapter
from grata_monai.adapters.batched import BatchedEpisodes
from grata_monai.benchmark import textbook
from grata_monai.benchmark.speed.paths import Path
from grata_monai.inferers import AdaptiveInferer
from grata_monai.objectives.consistency import Consistency

Step = Callable[[Tensor], Tensor]


class NotOfferedError(Exception):
    """A method has no such path, and need not have it; the message says why."""


@dataclass(frozen=True)
class Runner:
    """A form of a method, ready for a stream of images.

    Args:
        step: Adapts to images BxCxHxW and returns their logits.
        network: What it adapts.
        method: The adapter, or the textbook's object.
    """

    step: Step
    network: nn.Module
    method: Any


def runner_of(
    name: str, path: Path, source: nn.Module, device: torch.device, *, seed: int
) -> AbstractContextManager[Runner]:
    """Return what holds a method ready on a path; arguments as of ``package_runner``."""
    if path.is_textbook:
        return textbook_runner(name, source, device, seed=seed)
    return package_runner(name, path, source, device, seed=seed)


@contextmanager
def package_runner(
    name: str, path: Path, source: nn.Module, device: torch.device, *, seed: int
) -> Iterator[Runner]:
    """Hold a method of the package bound to a network of its own.

    Args:
        name: The method's id.
        path: How to run it.
        source: The source network, which stays as it is.
        device: Where to run it.
        seed: Seed of the method.

    Raises:
        NotOfferedError: If the method cannot be run on that path.
    """
    adapter = build_adapter(name, seed=seed)
    if path.views_at_once:
        _put_views_together(name, adapter)
    if path.batch > 1:
        adapter = _batched(adapter, path.batch)
    network = copy.deepcopy(source).to(device)
    execution = path.execution_on(device)
    inferer = AdaptiveInferer(adapter, execution=execution)

    @torch.no_grad()
    def in_batch(images: Tensor) -> Tensor:
        # An inferer would have every image of a batch predicted by itself.
        with execution.running(network):
            return adapter.adapt(images).to(images.dtype)

    @torch.no_grad()
    def one_by_one(images: Tensor) -> Tensor:
        return inferer(images, network)

    with adapter.bound(network):
        yield Runner(in_batch if path.batch > 1 else one_by_one, network, adapter)


@contextmanager
def textbook_runner(
    name: str, source: nn.Module, device: torch.device, *, seed: int, **arguments: Any
) -> Iterator[Runner]:
    """Hold the textbook form of a method.

    Args:
        name: The method's id.
        source: The source network, which stays as it is.
        device: Where to run it.
        seed: Seed of the method.
        arguments: Others of the textbook's class.

    Raises:
        NotOfferedError: If there is none.
    """
    if name not in textbook.TEXTBOOK:
        raise NotOfferedError("there is no textbook form")
    network = copy.deepcopy(source).to(device)
    method = textbook.build_textbook(name, network, seed=seed, **arguments)
    step = torch.enable_grad()(method.step)
    yield Runner(step, getattr(method, "network", network), method)


def textbook_arguments(name: str) -> set[str]:
    """Return the names of what the textbook form of a method can be given."""
    return set(inspect.signature(textbook.TEXTBOOK[name]).parameters)


def _put_views_together(name: str, adapter: Adapter) -> None:
    found = [part for part in objectives_of(adapter) if isinstance(part, Consistency)]
    if not found:
        raise NotOfferedError(f"{name} has no weak views that could run together")
    for objective in found:
        objective.views_at_once = len(objective.views)


def objectives_of(adapter: Adapter) -> list[object]:
    """Return what a method is made of, also that of methods in it."""
    parts = list(vars(adapter).values())
    inner = [part for part in parts if isinstance(part, Adapter)]
    return [*parts, *(deep for method in inner for deep in objectives_of(method))]


def _batched(adapter: Adapter, images_at_once: int) -> Adapter:
    try:
        return BatchedEpisodes(adapter=adapter, images_at_once=images_at_once)
    except TypeError as error:
        raise NotOfferedError(str(error).split(";")[0].split(". ")[0]) from error
