# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Flips and rotations by right angles, with exact inverses."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class View:
    """A flip or rotation of the last two dimensions; whatever comes before them stays.

    ``apply`` flips, then transposes; ``invert`` undoes both exactly. The identity returns the very
    tensor it was given; all others leave theirs alone.

    Args:
        name: How it is called in configurations and traces.
        flip: Dimensions to flip, a subset of (-2, -1).
        transpose: Whether to exchange the last two dimensions after flipping.

    Example:
        >>> import torch
        >>> rotation = WEAK_VIEWS[3]
        >>> rotation.apply(torch.tensor([[1, 2], [3, 4]]))
        tensor([[2, 4],
                [1, 3]])
        >>> rotation.invert(rotation.apply(torch.arange(6).reshape(2, 3)))
        tensor([[0, 1, 2],
                [3, 4, 5]])
    """

    name: str
    flip: tuple[int, ...] = ()
    transpose: bool = False

    def __post_init__(self) -> None:
        """Check the dimensions.

        Raises:
            ValueError: If ``flip`` is not a subset of (-2, -1).
        """
        if len(set(self.flip)) != len(self.flip) or not set(self.flip) <= {-2, -1}:
            raise ValueError(
                f"The 'flip' parameter of View must be a subset of (-2, -1). Got {self.flip!r}."
            )

    def apply(self, images: Tensor) -> Tensor:
        """Return the images seen this way."""
        flipped = images.flip(self.flip) if self.flip else images
        return flipped.transpose(-2, -1) if self.transpose else flipped

    def invert(self, images: Tensor) -> Tensor:
        """Return the images as they were before ``apply``."""
        upright = images.transpose(-2, -1) if self.transpose else images
        return upright.flip(self.flip) if self.flip else upright


WEAK_VIEWS: tuple[View, ...] = (
    View("identity"),
    View("hflip", flip=(-1,)),
    View("vflip", flip=(-2,)),
    View("rot90", flip=(-1,), transpose=True),
    View("rot180", flip=(-2, -1)),
    View("rot270", flip=(-2,), transpose=True),
)
"""The six views of GraTa's teacher; rotations are counter-clockwise, as ``torch.rot90``."""
