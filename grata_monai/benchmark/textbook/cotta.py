# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""CoTTA: a slow teacher, averaged over views, and a student that is drawn back to the source."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.batch_norm import use_batch_statistics
from grata_monai.benchmark.textbook.views import DrawView, RandomView


class CoTTA(Textbook):
    """Student, teacher and source are three networks under the image's own statistics.

    Args:
        network: The source network, which stays as it is.
        beta: Learning rate of the student.
        views: Number of views that the teacher averages.
        draw_view: Image -> a view and its inverse; default: ``RandomView(seed)``.
        draw_uniform: Parameter -> numbers in [0, 1) of its shape; elements whose number is below
            0.01 return to the source. Default: torch's own, from ``seed``.
        seed: Seed of both.
    """

    ema = 0.999
    threshold = 1.0
    restore = 0.01

    def __init__(
        self,
        network: nn.Module,
        *,
        beta: float = 1e-4,
        views: int = 32,
        draw_view: DrawView | None = None,
        draw_uniform: Callable[[Tensor], Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(network, seed=seed)
        use_batch_statistics(self.network)
        self.source = copy.deepcopy(self.network).requires_grad_(False)
        self.teacher = copy.deepcopy(self.source)
        self.network.requires_grad_(True)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=beta)
        self.views = views
        self.draw_view = RandomView(seed) if draw_view is None else draw_view
        self.generators: dict[torch.device, torch.Generator] = {}
        self.draw_uniform = self._draw_uniform if draw_uniform is None else draw_uniform

    def step(self, image: Tensor) -> Tensor:
        """See base class."""
        with torch.no_grad():
            target = torch.sigmoid(self._target(image))
        loss = binary_cross_entropy_with_logits(self.network(image), target)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        with torch.no_grad():
            self._follow()
            logits: Tensor = self.teacher(image)
        return logits

    def _target(self, image: Tensor) -> Tensor:
        """Return the teacher's logits, averaged over views unless the source is sure."""
        p = torch.sigmoid(self.source(image))
        logits: Tensor
        if torch.maximum(p, 1 - p).mean() >= self.threshold:
            logits = self.teacher(image)
            return logits
        total = torch.zeros((), device=image.device)
        for _ in range(self.views):
            view, put_back = self.draw_view(image)
            total = total + put_back(self.teacher(view))
        return total / self.views

    def _follow(self) -> None:
        """Move the teacher towards the student, and some of the student to the source."""
        networks = (self.network, self.teacher, self.source)
        for student, teacher, source in zip(*(n.parameters() for n in networks), strict=True):
            teacher.copy_(self.ema * teacher + (1 - self.ema) * student)
            restored = self.draw_uniform(student) < self.restore
            student.copy_(torch.where(restored, source, student))

    def _draw_uniform(self, parameter: Tensor) -> Tensor:
        device = parameter.device
        if device not in self.generators:
            self.generators[device] = torch.Generator(device).manual_seed(self.seed)
        return torch.rand(parameter.shape, generator=self.generators[device], device=device)
