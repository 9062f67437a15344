# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Random views whose predictions can be put back in place exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from grata_monai.transforms.geometry import WEAK_VIEWS, View
from grata_monai.transforms.style import StrongView, StyleParameters


@dataclass(frozen=True)
class DrawnView:
    """What was drawn for one view of a batch; applied as often as wanted, always the same.

    Args:
        geometry: Flip or rotation of the whole batch.
        style: How to change the style of images.
        parameters: Each image's own parameters of that style.
    """

    geometry: View
    style: StrongView
    parameters: StyleParameters

    def apply(self, images: Tensor) -> Tensor:
        """Return the images in another style, then flipped or rotated."""
        return self.geometry.apply(self.style.apply(images, self.parameters))

    def invert(self, outputs: Tensor) -> Tensor:
        """Return what a network made of ``apply(images)``, in the images' own orientation."""
        return self.geometry.invert(outputs)


class RandomView:
    """Draw views: one of the exact flips and rotations, and a random style for each image.

    Args:
        geometries: Flips and rotations to draw from, equally likely; default: the six weak views.
        style: Change of style; default: ``StrongView()``, the strong view of GraTa.

    Raises:
        ValueError: If ``geometries`` is empty.

    Example:
        >>> images = torch.linspace(0, 1, 24).reshape(1, 3, 2, 4)
        >>> view = RandomView().draw(images, torch.Generator().manual_seed(0))
        >>> view.invert(view.apply(images)).shape == images.shape
        True
    """

    def __init__(
        self, *, geometries: Sequence[View] = WEAK_VIEWS, style: StrongView | None = None
    ) -> None:
        if not geometries:
            raise ValueError("The 'geometries' parameter of RandomView must not be empty.")
        self.geometries = tuple(geometries)
        self.style = StrongView() if style is None else style

    def draw(self, images: Tensor, generator: torch.Generator) -> DrawnView:
        """Draw a view for a batch of images from a CPU generator."""
        chosen = int(torch.randint(len(self.geometries), (1,), generator=generator))
        parameters = self.style.draw(images.shape, generator)
        return DrawnView(self.geometries[chosen], self.style, parameters)
