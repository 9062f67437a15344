# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""VPTTA the plain way."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.statistics import OtherBatchNorm, replace_batch_norms

MEMORY_SIZE = 40
NEIGHBOURS = 16


class VPTTA(Textbook):
    """Train factors on the lowest frequencies of each image; the network stays as it is.

    Args:
        network: The source network.
        beta: Learning rate.
        seed: Of no effect.

    Reference:
        Z. Chen et al., "Each Test Image Deserves A Specific Prompt", CVPR 2024.
    """

    def __init__(self, network: nn.Module, *, beta: float = 0.05, seed: int = 0) -> None:
        super().__init__(network, seed=seed)
        replace_batch_norms(self.network, WarmUpBatchNorm)
        self.layers = [m for m in self.network.modules() if isinstance(m, WarmUpBatchNorm)]
        self.beta = beta
        self.images_seen = 0
        self.prompt: nn.Parameter | None = None

    def step(self, image: Tensor) -> Tensor:
        """Make one step of the prompt, and predict the prompted image."""
        self.images_seen += 1
        for layer in self.layers:
            layer.current_share = 1 / (math.sqrt(self.images_seen) / 5 + 1)
        key = low_frequencies(image)
        if self.prompt is None or self.prompt.shape != key.shape:
            self.prompt = nn.Parameter(torch.ones_like(key))
            self.optimizer = torch.optim.Adam([self.prompt], lr=self.beta, betas=(0.9, 0.99))
            self.memory: list[tuple[Tensor, Tensor]] = []
        self.prompt.data = self._first_prompt(key)

        self.network(prompted(image, self.prompt))
        loss = torch.stack([layer.distance for layer in self.layers]).mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

        with torch.no_grad():
            logits: Tensor = self.network(prompted(image, self.prompt))
        self.memory = [*self.memory, (key, self.prompt.detach().clone())][-MEMORY_SIZE:]
        return logits

    def _first_prompt(self, key: Tensor) -> Tensor:
        """Return the mean prompt of the most similar images, or ones with too few of them."""
        if len(self.memory) < NEIGHBOURS:
            return torch.ones_like(key)
        keys = torch.stack([past.flatten() for past, _ in self.memory])
        similarity, nearest = F.cosine_similarity(keys, key.flatten()[None]).topk(NEIGHBOURS)
        weights = torch.softmax(similarity / 0.2, dim=0)
        prompts = torch.cat([self.memory[index][1] for index in nearest.tolist()])
        return (weights.view(-1, 1, 1, 1) * prompts).sum(dim=0, keepdim=True)


class WarmUpBatchNorm(OtherBatchNorm):
    """Normalize with source and current statistics mixed, and measure how far they are apart.

    Args:
        layer: The layer of the source network.
    """

    def __init__(self, layer: _BatchNorm) -> None:
        super().__init__(layer)
        self.current_share = 1.0
        self.distance = torch.zeros(())

    def forward(self, a: Tensor) -> Tensor:
        """Return the normalized activations."""
        share = self.current_share
        mean, variance = a.mean(dim=(0, 2, 3)), a.var(dim=(0, 2, 3), correction=1)
        mixed_mean = share * mean.detach() + (1 - share) * self.running_mean
        mixed_variance = share * variance.detach() + (1 - share) * self.running_var
        deviation = variance.clamp(min=1e-12).sqrt()  # at 0 the root has no slope
        self.distance = (mixed_mean - mean).abs().mean()
        self.distance = self.distance + (mixed_variance.sqrt() - deviation).abs().mean()
        return F.batch_norm(a, mixed_mean, mixed_variance, self.weight, self.bias, eps=self.eps)


def low_frequencies(image: Tensor) -> Tensor:
    """Return the amplitudes in the middle of the shifted spectrum, a hundredth of each side."""
    spectrum: Tensor = torch.fft.fftshift(torch.fft.fft2(image), dim=(2, 3))
    (top, height), (left, width) = _window(image.shape[2]), _window(image.shape[3])
    return spectrum.abs()[:, :, top : top + height, left : left + width]


def prompted(image: Tensor, prompt: Tensor) -> Tensor:
    """Return the image with its lowest amplitudes multiplied, phases kept."""
    spectrum = torch.fft.fftshift(torch.fft.fft2(image), dim=(2, 3))
    (top, height), (left, width) = _window(image.shape[2]), _window(image.shape[3])
    right, bottom = image.shape[3] - left - width, image.shape[2] - top - height
    factors = F.pad(prompt, (left, right, top, bottom), value=1.0)
    spectrum = torch.polar(spectrum.abs() * factors, spectrum.angle())
    result: Tensor = torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(2, 3))).real
    return result


def _window(size: int) -> tuple[int, int]:
    """Return start and length of the window with the zero frequency in its middle."""
    length = max(1, int(0.01 * size))
    return size // 2 - length // 2, length
