# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Recognition of which flip or rotation an image went through."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from grata_monai.objectives.base import Objective
from grata_monai.transforms.geometry import WEAK_VIEWS

ROTATION_CLASSES = (*WEAK_VIEWS[1:], WEAK_VIEWS[0])
"""Flips (horizontal, vertical), rotations by 90, 180, 270 degrees, identity: authors' order."""


class Rotation(Objective):
    """Six-way cross-entropy on one random view per image (paper Table 5, "rot").

    Images of a batch must be square, since rotations by 90 degrees would change their shape.

    Reference:
        Z. Chen et al., AAAI 2025.
    """

    required_head = "rotation"

    def __call__(self, network: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the cross-entropy for one draw of views."""
        classes = torch.randint(len(ROTATION_CLASSES), (images.shape[0],), generator=generator)
        views = [ROTATION_CLASSES[int(index)] for index in classes]
        turned = torch.stack([v.apply(image) for v, image in zip(views, images, strict=True)])
        return cross_entropy(self.run_head(network, turned), classes.to(images.device))
