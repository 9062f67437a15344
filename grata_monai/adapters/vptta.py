# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""VPTTA: a visual prompt per image in front of a frozen network."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from grata_monai._checks import check_flag, check_number
from grata_monai.adapters.base import LifeCycle
from grata_monai.adapters.gradient import GradientAdapter
from grata_monai.functional.frequency import (
    apply_frequency_prompt,
    low_frequency_amplitudes,
    prompt_extent,
)
from grata_monai.functional.gradients import compute_gradients, gradient_norm
from grata_monai.state import AdamStepper, StatisticsPolicy, require_finite
from grata_monai.state.prompt_memory import PromptMemory
from grata_monai.state.warm_up import WarmUpStatistics


class VPTTA(GradientAdapter):
    r"""Train a low-frequency prompt for each image; the network stays as it is.

    For the n-th image x with spectrum F, prompt P (ones outside a small window) and BN
    statistics that move from the image's to the source's (``WarmUpStatistics``):

    .. math::
        x_P &= \mathrm{Re}\, \mathcal{F}^{-1}(P \odot F) \\
        L(P) &= \mathrm{mean}_l \big( \mathrm{mean}_c |\mu_l - \mu_{t,l}(x_P)|
            + \mathrm{mean}_c |\sqrt{v_l} - \sigma_{t,l}(x_P)| \big) \\
        P &\leftarrow \mathrm{Adam}(P, \nabla L, \beta)

    P starts from a mean of the prompts of similar earlier images (``PromptMemory``; similar by
    their low-frequency amplitudes), or from ones while there are too few. The prediction is the
    network's on :math:`x_P`. A batch shares one prompt and counts as one image.

    Args:
        beta: Learning rate, >= 0; 0.05 (authors' code).
        betas: Decay of Adam's moments; (0.9, 0.99) (authors' code).
        alpha: Share of the spectrum that the prompt covers along each dimension, in (0, 1]; 0.01,
            which is 5 x 5 frequencies at 512 x 512 pixels.
        warm_up: w in :math:`m_n = 1 / (\sqrt n / w + 1)`, the current image's share; 5.
        memory_size: Prompts kept, at least 1; 40.
        neighbours: Prompts averaged, from 1 to ``memory_size``; 16.
        temperature: Of the weights of those prompts, > 0; 0.2.
        keep_moments: Whether Adam's moments carry over images although the prompt is set anew,
            as in the authors' code.
        legacy_window: Whether to place the window off-centre and roll the channels as in the
            authors' code (see ``apply_frequency_prompt``).
        life_cycle: When to go back to the source (see ``Adapter``). The paper never resets:
            targets follow one another, which is ``"never"``.
        seed: Of no effect: nothing is drawn.

    Raises:
        ValueError: If an argument is out of range.

    Reference:
        Z. Chen et al., "Each Test Image Deserves A Specific Prompt: Continual Test-Time
        Adaptation for 2D Medical Image Segmentation", CVPR 2024, arXiv:2311.18363.

    Differs from the reference code: the window is centred on the zero frequency (which makes the
    prompted image real), a prompt of ones is the exact identity, the memory holds ``memory_size``
    entries, not one more, and identical images make entries of their own; images of another size
    or number of channels than the one before start with an empty memory.
    """

    def __init__(
        self,
        *,
        beta: float = 0.05,
        betas: tuple[float, float] = (0.9, 0.99),
        alpha: float = 0.01,
        warm_up: float = 5.0,
        memory_size: int = 40,
        neighbours: int = 16,
        temperature: float = 0.2,
        keep_moments: bool = True,
        legacy_window: bool = False,
        life_cycle: LifeCycle = "per_dataset",
        seed: int = 0,
    ) -> None:
        super().__init__(
            beta=beta, betas=betas, life_cycle=life_cycle, predict="after_update", seed=seed
        )
        check_number("VPTTA", "alpha", alpha, minimum=1e-9, maximum=1.0)
        check_number("VPTTA", "warm_up", warm_up, minimum=1e-9)
        check_number("VPTTA", "memory_size", memory_size, minimum=1, integer=True)
        check_number(
            "VPTTA", "neighbours", neighbours, minimum=1, maximum=memory_size, integer=True
        )
        check_number("VPTTA", "temperature", temperature, minimum=1e-9)
        check_flag("VPTTA", "keep_moments", keep_moments)
        check_flag("VPTTA", "legacy_window", legacy_window)
        self.alpha = alpha
        self.warm_up = warm_up
        self.memory_size = memory_size
        self.neighbours = neighbours
        self.temperature = temperature
        self.keep_moments = keep_moments
        self.legacy_window = legacy_window

    def _policy(self) -> StatisticsPolicy:
        return WarmUpStatistics(warm_up=self.warm_up)

    def _parameters(self, network: nn.Module) -> dict[str, nn.Parameter]:
        return {}

    def _start(self) -> None:
        self._begin(torch.ones(()))  # no prompt yet: its shape depends on the images

    def _begin(self, prompt: Tensor) -> None:
        """Take a prompt in hand, with a new optimizer and an empty memory."""
        self._prompt = nn.Parameter(prompt.detach().clone())
        self._stepper = AdamStepper([self._prompt], betas=self.betas)
        self._memory = PromptMemory(
            size=self.memory_size, neighbours=self.neighbours, temperature=self.temperature
        )

    def _update(self, images: Tensor) -> dict[str, float]:
        extent = prompt_extent(images.shape[2:], self.alpha)
        amplitudes = low_frequency_amplitudes(images, extent, legacy_window=self.legacy_window)
        key = amplitudes.mean(dim=0, keepdim=True)
        kept = (self._prompt, self._stepper, self._memory)
        self._warm_up.count_image()
        try:
            self._prepare(key)
            trace = self._train(images)
        except BaseException:
            self._prompt, self._stepper, self._memory = kept
            self._warm_up.count_ -= 1
            raise
        self._memory.push(key, self._prompt)
        return {**trace, "current_share": self._warm_up.current_share}

    def _prepare(self, key: Tensor) -> None:
        """Make the prompt with which an image starts."""
        if self._prompt.shape != key.shape:
            self._begin(torch.ones_like(key))
            return
        remembered = self._memory.read(key)
        moments = self._stepper.state_dict()
        self._prompt = nn.Parameter(torch.ones_like(key) if remembered is None else remembered)
        self._stepper = AdamStepper([self._prompt], betas=self.betas)
        if self.keep_moments:
            self._stepper.load_state_dict(moments)

    def _train(self, images: Tensor) -> dict[str, float]:
        """Make the one step of the prompt."""
        with self._warm_up.measuring() as distances:
            self._run(images)
        loss = torch.stack(distances).mean()
        require_finite("statistics loss", [loss.detach()])
        gradients = compute_gradients(loss, [self._prompt])
        self._stepper.step(gradients, self.beta)
        return {
            "loss": float(loss.detach()),
            "gradient_norm": gradient_norm(gradients),
            "learning_rate": self.beta,
        }

    def _predict(self, images: Tensor) -> Tensor:
        return self._run(images)

    def _run(self, images: Tensor) -> Tensor:
        """Return the network's logits for the prompted images."""
        if self._prompt.ndim > 0:
            images = apply_frequency_prompt(images, self._prompt, legacy_window=self.legacy_window)
        with self._warm_up.same_image():
            return cast("Tensor", self._bound().network(images))

    @property
    def _warm_up(self) -> WarmUpStatistics:
        return cast("WarmUpStatistics", self._bound().policy)

    def _method_state(self) -> dict[str, Any]:
        return {
            "prompt": self._prompt.detach().clone(),
            "optimizer": self._stepper.state_dict(),
            "memory": self._memory.state_dict(),
        }

    def _load_method_state(self, state: dict[str, Any]) -> None:
        device = next(self._bound().network.parameters()).device
        self._begin(state["prompt"].to(device))
        self._stepper.load_state_dict(state["optimizer"])
        self._memory.load_state_dict(state["memory"], device)
