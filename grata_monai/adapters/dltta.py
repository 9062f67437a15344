# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DLTTA: a learning rate for each image from its discrepancy to similar earlier images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from grata_monai._checks import check_choice, check_number
from grata_monai.adapters.base import LifeCycle, Predict
from grata_monai.adapters.gradient import GradientAdapter
from grata_monai.functional.entropy import symmetric_kl
from grata_monai.functional.gradients import gradient_norm
from grata_monai.functional.precision import at_least_single
from grata_monai.networks.heads import HasBottleneck
from grata_monai.objectives import Objective, build_objective
from grata_monai.state import NonFiniteUpdateError, require_finite
from grata_monai.state.injection import find_bottleneck_layer
from grata_monai.state.transaction import all_or_nothing

_UNKNOWN = "?"


class MemoryEntry(NamedTuple):
    """What is kept of an image: bottleneck features and logits after the update."""

    key: Tensor
    logits: Tensor


class DLTTA(GradientAdapter):
    r"""Step faster on images whose prediction differs from those of similar earlier images.

    With z the logits and k the flattened bottleneck features of an image, M the memory of earlier
    images and their K nearest by cosine similarity s:

    .. math::
        \bar z = \sum_{j=1}^{K} \mathrm{softmax}(s / 0.2)_j\, z_j, \qquad
        D = \mathrm{mean}\; J(\sigma(\bar z), \sigma(z / \tau)), \qquad
        \eta = \beta\, e^D

    with J the symmetric divergence of two Bernoulli variables. Then one Adam step of length η on
    the objective, and (k, logits after the step) enters the memory, whose oldest entry leaves.
    Images are compared with those of the same shape only.

    Args:
        objective: Loss to minimize, an ``Objective`` or its name; the one-sided entropy of TENT.
        beta: β, base learning rate; 1e-4 as TENT's (the original: 1e-3 by SGD).
        betas: Decay of Adam's moments.
        memory_size: Images to remember, >= neighbours; 20 (authors' segmentation experiment).
        neighbours: K, >= 1; 8 (same). Until there are so many, ``warmup`` holds.
        temperature: τ > 0, softens the present logits; 4 (same). With τ ≠ 1, D > 0 even where
            past and present agree.
        similarity_temperature: Temperature > 0 of the neighbours' weights; 0.2 (same).
        combine: ``"fixed"`` uses all neighbours; ``"legacy"`` the nearest times its weight and
            nothing else, as a misspelled variable in the authors' code does.
        lr_rule: ``"exp"``: η = β exp(D) (their segmentation); ``"linear"``: η = β D (their
            classification).
        warmup: ``"constant"``: η = β; ``"ramp"``: η = β |M|, as in their segmentation.
        life_cycle: When to go back to the source (see ``Adapter``); ``"per_image"`` also empties
            the memory, which leaves the warm-up only.
        predict: ``"after_update"`` as in the authors' code.
        seed: Seed of the objective's random draws, if it has any.

    Raises:
        ValueError: When bound to a network without ``bottleneck(images)``.

    Reference:
        H. Yang et al., "DLTTA: Dynamic Learning Rate for Test-Time Adaptation on Cross-Domain
        Medical Images", IEEE TMI 2022, arXiv:2205.13723.

    Differs from the reference code: it adapts BN scale and shift with TENT's loss (there: adaptor
    networks, or TENT for classification); logits after the update are stored, not those of the
    frozen network; the memory holds ``memory_size`` images, not one more; equal images do not
    overwrite each other.
    """

    def __init__(
        self,
        *,
        objective: Objective | str = "entropy",
        beta: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        memory_size: int = 20,
        neighbours: int = 8,
        temperature: float = 4.0,
        similarity_temperature: float = 0.2,
        combine: Literal["fixed", "legacy"] = "fixed",
        lr_rule: Literal["exp", "linear"] = "exp",
        warmup: Literal["constant", "ramp"] = "constant",
        life_cycle: LifeCycle = "per_dataset",
        predict: Predict = "after_update",
        seed: int = 0,
    ) -> None:
        super().__init__(beta=beta, betas=betas, life_cycle=life_cycle, predict=predict, seed=seed)
        self.objective = build_objective(objective, owner="DLTTA", parameter="objective")
        check_number("DLTTA", "neighbours", neighbours, minimum=1, integer=True)
        check_number("DLTTA", "memory_size", memory_size, minimum=neighbours, integer=True)
        check_number("DLTTA", "temperature", temperature, minimum=1e-6)
        check_number("DLTTA", "similarity_temperature", similarity_temperature, minimum=1e-6)
        check_choice("DLTTA", "combine", combine, ("fixed", "legacy"))
        check_choice("DLTTA", "lr_rule", lr_rule, ("exp", "linear"))
        check_choice("DLTTA", "warmup", warmup, ("constant", "ramp"))
        self.memory_size = memory_size
        self.neighbours = neighbours
        self.temperature = temperature
        self.similarity_temperature = similarity_temperature
        self.combine = combine
        self.lr_rule = lr_rule
        self.warmup = warmup

    def _check(self, network: nn.Module) -> None:
        if not isinstance(network, HasBottleneck):
            raise ValueError(
                "DLTTA compares images by their bottleneck features and needs a network with a "
                f"method bottleneck(images), which {type(network).__name__} has not; use "
                "ResUNet34 or add the method."
            )
        self.objective.check(network)

    def _start(self) -> None:
        super()._start()
        self._memory: list[MemoryEntry] = []
        self._latest: tuple[Tensor, Tensor] | None = None
        self._layer: str | None = _UNKNOWN

    def _update(self, images: Tensor) -> dict[str, float]:
        network = self._bound().network
        with _watched(network, self._layer_name(images)) as calls:
            loss, gradients = self._gradients(self.objective, images)
        own = [(call.key, call.logits) for call in calls if call.images is images]
        keys, present = own[0] if own else self._look(images)
        discrepancy = self._discrepancy(keys, present)
        learning_rate = self._learning_rate(discrepancy)
        with all_or_nothing(self._stepper), torch.no_grad():
            self._stepper.step(gradients, learning_rate)
            logits = network(images)
            require_finite("logits after the update", [logits])
        self._memory += map(MemoryEntry, keys.clone(), logits.clone())
        self._memory = self._memory[-self.memory_size :]
        self._latest = (images, logits)
        return {
            "loss": loss,
            "gradient_norm": gradient_norm(gradients),
            "discrepancy": math.nan if discrepancy is None else discrepancy,
            "learning_rate": learning_rate,
        }

    def _layer_name(self, images: Tensor) -> str | None:
        """Return which layer makes the bottleneck, if one does."""
        if self._layer == _UNKNOWN:
            try:
                self._layer = find_bottleneck_layer(self._bound().network, images)
            except ValueError:
                self._layer = None
        return self._layer

    @torch.no_grad()
    def _look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return bottleneck features and logits by passes of their own."""
        network = self._bound().network
        return cast("HasBottleneck", network).bottleneck(images), network(images)

    def _discrepancy(self, keys: Tensor, logits: Tensor) -> float | None:
        """Return D, averaged over the images; None if too few like them were seen."""
        present = at_least_single(logits) / self.temperature
        shapes = keys.shape[1:], logits.shape[1:]
        alike = [past for past in self._memory if (past.key.shape, past.logits.shape) == shapes]
        if len(alike) < self.neighbours:
            return None
        found = [
            symmetric_kl(self._past_logits(key, alike), logits).mean()
            for key, logits in zip(keys, present, strict=True)
        ]
        return float(torch.stack(found).mean())

    def _past_logits(self, key: Tensor, past: list[MemoryEntry]) -> Tensor:
        """Return z̄, the logits that the images most like this one had."""
        vectors = [at_least_single(entry.key).flatten() for entry in past]
        key = at_least_single(key).flatten()
        similarities = torch.stack([cosine_similarity(key, other, dim=0) for other in vectors])
        nearest = similarities.topk(self.neighbours)
        weights = torch.softmax(nearest.values / self.similarity_temperature, dim=0)
        logits = [at_least_single(past[int(index)].logits) for index in nearest.indices]
        used = 1 if self.combine == "legacy" else self.neighbours
        return torch.stack([w * z for w, z in zip(weights[:used], logits[:used], strict=True)]).sum(
            0
        )

    def _learning_rate(self, discrepancy: float | None) -> float:
        """Return η."""
        if discrepancy is None:
            return self.beta * (len(self._memory) if self.warmup == "ramp" else 1.0)
        if self.lr_rule == "linear":
            return self.beta * discrepancy
        try:
            return self.beta * math.exp(discrepancy)
        except OverflowError:
            raise NonFiniteUpdateError("The learning rate is not finite.") from None

    def _predict(self, images: Tensor) -> Tensor:
        latest, self._latest = self._latest, None
        if latest is not None and latest[0] is images:
            return latest[1]  # computed for the memory already
        return super()._predict(images)

    def _method_state(self) -> dict[str, Any]:
        memory = [{"key": e.key.clone(), "logits": e.logits.clone()} for e in self._memory]
        return {**super()._method_state(), "memory": memory}

    def _load_method_state(self, state: dict[str, Any]) -> None:
        super()._load_method_state(state)
        device = self._stepper.parameters[0].device
        self._memory = [
            MemoryEntry(entry["key"].to(device, copy=True), entry["logits"].to(device, copy=True))
            for entry in state["memory"]
        ]
        self._latest = None


class _Call(NamedTuple):
    """What the network made of some images in one pass."""

    images: Tensor
    key: Tensor
    logits: Tensor


@contextmanager
def _watched(network: nn.Module, layer: str | None) -> Iterator[list[_Call]]:
    """Collect the passes through a network in a block, so that they need not be made again.

    Args:
        network: The network.
        layer: Name of the layer that makes the bottleneck; None to see nothing.
    """
    keys: list[Tensor] = []
    calls: list[_Call] = []

    def after_layer(module: nn.Module, _: tuple[Any, ...], output: Tensor) -> None:
        keys.append(output.detach().clone())  # later layers may work in place

    def after_network(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if inputs and keys:
            calls.append(_Call(inputs[0], keys[-1], output.detach()))
        keys.clear()

    with ExitStack() as stack:
        if layer is not None:
            deep = network.get_submodule(layer)
            stack.callback(deep.register_forward_hook(after_layer).remove)
            stack.callback(network.register_forward_hook(after_network).remove)
        yield calls
