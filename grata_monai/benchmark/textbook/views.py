# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Flips and rotations of images, and random views whose predictions can be put back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from grata_monai.benchmark.textbook.strong_view import StrongView

Invert = Callable[[Tensor], Tensor]
DrawView = Callable[[Tensor], tuple[Tensor, Invert]]
"""Image -> a view of it, and the function that puts a prediction on that view back."""


def weak_views(image: Tensor) -> list[tuple[Tensor, Invert]]:
    """Return the image itself, its two flips and its three rotations, each with its inverse."""
    return [
        (image, lambda p: p),
        (image.flip(3), lambda p: p.flip(3)),
        (image.flip(2), lambda p: p.flip(2)),
        (torch.rot90(image, 1, (2, 3)), lambda p: torch.rot90(p, -1, (2, 3))),
        (torch.rot90(image, 2, (2, 3)), lambda p: torch.rot90(p, -2, (2, 3))),
        (torch.rot90(image, 3, (2, 3)), lambda p: torch.rot90(p, -3, (2, 3))),
    ]


class RandomView:
    """Draw the strong view of an image, flipped or rotated as one of the six weak views.

    Args:
        seed: Seed of all draws.
    """

    def __init__(self, seed: int = 0) -> None:
        self.strong_view = StrongView(seed)

    def __call__(self, image: Tensor) -> tuple[Tensor, Invert]:
        """Return a view of the image and how a prediction on it is put back."""
        views = weak_views(self.strong_view(image))
        return views[int(self.strong_view.generator.integers(len(views)))]


class CropsAndTurns:
    """Draw a batch of DUA's views: zero padding and crop, flip, rotation by a right angle.

    Args:
        count: Views in the batch.
        seed: Seed of all draws.
    """

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count = count
        self.generator = np.random.default_rng(seed)

    def __call__(self, image: Tensor) -> Tensor:
        """Return a batch of views of an image 1xCxHxW."""
        return torch.cat([self._view(image) for _ in range(self.count)])

    def _view(self, image: Tensor) -> Tensor:
        draw = self.generator
        height, width = image.shape[2:]
        above, left = round(0.125 * height), round(0.125 * width)
        padded = torch.nn.functional.pad(image, (left, left, above, above))
        top, start = draw.integers(2 * above + 1), draw.integers(2 * left + 1)
        view = padded[:, :, top : top + height, start : start + width]
        if draw.random() < 0.5:
            view = view.flip(3)
        turns = draw.integers(4) if height == width else 2 * draw.integers(2)
        return torch.rot90(view, int(turns), (2, 3))
