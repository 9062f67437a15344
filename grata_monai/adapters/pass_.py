# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""PASS: prompts for style and shape around a frozen network."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from grata_monai._checks import check_choice, check_number
from grata_monai.adapters.base import Adapter, LifeCycle
from grata_monai.functional.ensembles import balanced_entropy
from grata_monai.functional.gradients import compute_gradients, gradient_norm
from grata_monai.functional.momentum import decayed_momentum
from grata_monai.networks.heads import HasBottleneck
from grata_monai.networks.prompts import decorate_input, draw_prompts, modulate_features
from grata_monai.state import AdamStepper, StatisticsPolicy, capture, require_finite
from grata_monai.state.injection import find_bottleneck_layer, replaced_output
from grata_monai.state.source_distance import MeasuredSourceStatistics

Prompts = Mapping[str, Tensor]


class Pass(Adapter):
    r"""Train an input decorator and a shape prompt so that features look like the source's.

    The network keeps its weights and source statistics. Prompts ψ (``networks.prompts``) change
    the image, x + D(x), and the bottleneck features, by attention between channels. For the t-th
    image they start at a target :math:`\bar\psi`, make S steps of Adam on the distance to the
    source's running statistics, and move the target:

    .. math::
        L(\psi) &= \mathrm{mean}_l \big(\mathrm{mean}_c |\mu_{t,l} - \mu_{s,l}|
            + w\, \mathrm{mean}_c |v_{t,l} - v_{s,l}|\big) \\
        \bar\psi &\leftarrow (1 - \rho_t)\, \bar\psi + \rho_t\, \psi, \qquad
        \rho_t = 0.1 \cdot 0.94^t + 0.005

    The prediction is the one of the prompted or the plain network, whichever is surer: for each
    image the lower entropy, with structure and background weighted equally.

    The bottleneck is the output of a layer: the one that makes what ``network.bottleneck(images)``
    returns (ResUNet34 has that method), or the one that is named here. A batch shares its prompts.

    Args:
        beta: Learning rate, >= 0; 5e-3 (authors' code).
        steps: S >= 1 for each image; 2 (authors' code).
        variance_weight: w >= 0; 0.01 (authors' code).
        layers: Whose statistics count. ``"all"``; or ``"encoder"``, those before the bottleneck,
            as in the authors' code: these do not depend on the shape prompt, which stays zero.
        hidden: Channels inside the decorator, at least 1; 64 (authors' code).
        kept_share: Share of the attention weights kept of each prompt channel, in (0, 1]; 0.1
            (authors' code).
        choose: ``"entropy"``: the surer of the two predictions; ``"adapted"``: always the prompted
            network's.
        bottleneck: Name of the layer whose output is the bottleneck, e.g. ``"encoder.layer4"``;
            None to find it by the network's own method.
        life_cycle: When to go back to the source (see ``Adapter``).
        seed: Seed of the prompts' first values.

    Raises:
        ValueError: If an argument is out of range, or a network has no bottleneck.

    Reference:
        C. Zhang et al., "PASS: Test-Time Prompting to Adapt Styles and Semantic Shapes in Medical
        Image Segmentation", IEEE Transactions on Medical Imaging, 2024.

    Differs from the reference code: fresh prompts change nothing (zero last convolution, no
    biases in the attention); statistics of all layers by default, averaged over layers; Adam
    starts anew with each image, as its prompts do; the entropy's weights are ours.
    """

    def __init__(
        self,
        *,
        beta: float = 5e-3,
        steps: int = 2,
        variance_weight: float = 0.01,
        layers: Literal["all", "encoder"] = "all",
        hidden: int = 64,
        kept_share: float = 0.1,
        choose: Literal["entropy", "adapted"] = "entropy",
        bottleneck: str | None = None,
        life_cycle: LifeCycle = "per_dataset",
        seed: int = 0,
    ) -> None:
        super().__init__(life_cycle=life_cycle, seed=seed)
        check_number("Pass", "beta", beta, minimum=0.0)
        check_number("Pass", "steps", steps, minimum=1, integer=True)
        check_number("Pass", "variance_weight", variance_weight, minimum=0.0)
        check_choice("Pass", "layers", layers, ("all", "encoder"))
        check_number("Pass", "hidden", hidden, minimum=1, integer=True)
        check_number("Pass", "kept_share", kept_share, minimum=1e-9, maximum=1.0)
        check_choice("Pass", "choose", choose, ("adapted", "entropy"))
        if bottleneck is not None and not re.fullmatch(r"\w+(\.\w+)*", str(bottleneck)):
            raise ValueError(
                "The 'bottleneck' parameter of Pass must be the name of a layer, such as "
                f"'encoder.layer4', or None. Got {bottleneck!r}."
            )
        self.beta = beta
        self.steps = steps
        self.variance_weight = variance_weight
        self.layers = layers
        self.hidden = hidden
        self.kept_share = kept_share
        self.choose = choose
        self.bottleneck = bottleneck

    def _check(self, network: nn.Module) -> None:
        if self.bottleneck is None:
            if not isinstance(network, HasBottleneck):
                raise ValueError(
                    f"{type(network).__name__} has no method bottleneck(images), which Pass needs; "
                    "add it, or name the layer in the 'bottleneck' parameter."
                )
        elif self.bottleneck not in dict(network.named_modules()):
            raise ValueError(
                f"The 'bottleneck' parameter of Pass names no layer of {type(network).__name__}: "
                f"{self.bottleneck!r}. Its layers are those of network.named_modules()."
            )

    def _policy(self) -> StatisticsPolicy:
        return MeasuredSourceStatistics(variance_weight=self.variance_weight)

    def _start(self) -> None:
        self._layer = self.bottleneck
        self._target: Prompts = {}
        self._prompts: Prompts = {}

    def _update(self, images: Tensor) -> dict[str, float]:
        self._bottleneck_layer(images)  # found by a pass that must not be measured
        target = self._target or self._draw(images)
        prompts = {name: nn.Parameter(value.clone()) for name, value in target.items()}
        stepper = AdamStepper(list(prompts.values()))
        for _ in range(self.steps):
            loss = self._loss(images, prompts)
            require_finite("statistics loss", [loss.detach()])
            gradients = compute_gradients(loss, list(prompts.values()))
            stepper.step(gradients, self.beta)
        momentum = decayed_momentum(self.images_seen_ + 1)
        self._prompts = {name: prompt.detach() for name, prompt in prompts.items()}
        self._target = {
            name: value.lerp(self._prompts[name], momentum) for name, value in target.items()
        }
        return {
            "loss": float(loss.detach()),
            "gradient_norm": gradient_norm(gradients),
            "learning_rate": self.beta,
            "momentum": momentum,
        }

    def _predict(self, images: Tensor) -> Tensor:
        plain = cast("Tensor", self._bound().network(images))
        if not self._prompts:
            return plain
        prompted = self._run(images, self._prompts)
        if self.choose == "adapted":
            return prompted
        surer = balanced_entropy(prompted).mean(dim=1) <= balanced_entropy(plain).mean(dim=1)
        return torch.where(surer.view(-1, *[1] * (plain.ndim - 1)), prompted, plain)

    def _loss(self, images: Tensor, prompts: Prompts) -> Tensor:
        """Return the mean distance of the layers that count."""
        binding = self._bound()
        encoder: list[Tensor] = []
        with cast("MeasuredSourceStatistics", binding.policy).measuring() as distances:
            self._run(images, prompts, lambda: encoder.extend(distances))
        chosen = distances if self.layers == "all" else encoder
        if not chosen:
            raise ValueError(
                f"{type(binding.network).__name__} has no batch-normalization layer before its "
                "bottleneck; use layers='all'."
            )
        return torch.stack(chosen).mean()

    def _run(
        self, images: Tensor, prompts: Prompts, at_bottleneck: Callable[[], None] | None = None
    ) -> Tensor:
        """Return the prompted network's logits; tell when the bottleneck is reached."""

        def modulate(features: Tensor) -> Tensor:
            if at_bottleneck is not None:
                at_bottleneck()
            return modulate_features(features, prompts, kept_share=self.kept_share)

        with replaced_output(self._bottleneck_layer(images), modulate):
            return cast("Tensor", self._bound().network(decorate_input(images, prompts)))

    def _bottleneck_layer(self, images: Tensor) -> nn.Module:
        network = self._bound().network
        if self._layer is None:
            self._layer = find_bottleneck_layer(network, images)
        return network.get_submodule(self._layer)

    @torch.no_grad()
    def _draw(self, images: Tensor) -> Prompts:
        """Return fresh prompts, which depend on the seed and the images' size only."""
        with capture(self._bottleneck_layer(images)) as found:
            self._bound().network(images)
        generator = torch.Generator().manual_seed(self.seed)
        return draw_prompts(images, found[-1], generator, hidden=self.hidden)

    def _method_state(self) -> dict[str, Any]:
        return {
            name: {key: value.clone() for key, value in prompts.items()}
            for name, prompts in (("prompts", self._prompts), ("target", self._target))
        }

    def _load_method_state(self, state: dict[str, Any]) -> None:
        device = next(self._bound().network.parameters()).device
        self._prompts, self._target = (
            {key: value.to(device, copy=True) for key, value in state[name].items()}
            for name in ("prompts", "target")
        )
