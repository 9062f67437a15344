# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Which parts of images that are too large to adapt to as a whole a network adapts to instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from monai.data.utils import dense_patch_slices
from torch import Tensor
from torch.nn import functional as F

from grata_monai._checks import check_number

_NOT_FINITE = -1.0


class AdaptationWindows:
    """Chooses a few windows of images: spread over them, and where something is to be seen.

    The images are cut as ``SlidingWindowInferer`` cuts them without overlap, and the row of windows
    into ``count`` runs of the same length. Each run gives the window whose values vary most (mean
    over images and channels of the variance): background alone, around a body or a fundus, is not
    what the network shall get used to, and has no statistics to normalize with. Windows of one
    value are left out unless there are no others. The same images give the same windows: nothing is
    drawn.

    Args:
        size: Of a window: a number for each spatial dimension, or one for all. Best the
            ``roi_size`` of the prediction. Images that are smaller in a dimension are padded with
            zeros on both sides there, as ``SlidingWindowInferer`` does.
        count: Windows for each call, at least 1; fewer if the images have not so many.

    Raises:
        ValueError: If an argument is out of range, or the images, when called, have not as many
            spatial dimensions as ``size`` has numbers.

    Example:
        >>> images = torch.zeros(1, 1, 4, 8)
        >>> images[..., 5:7] = 1.0
        >>> [window.shape[2:] for window in AdaptationWindows(size=4, count=2)(images)]
        [torch.Size([4, 4])]
    """

    def __init__(self, *, size: int | Sequence[int], count: int = 4) -> None:
        owner = type(self).__name__
        sizes = size if isinstance(size, list | tuple) else (size,)
        if not sizes:
            raise ValueError(f"The 'size' parameter of {owner} must not be empty.")
        for number in sizes:
            check_number(owner, "size", number, minimum=1, integer=True)
        check_number(owner, "count", count, minimum=1, integer=True)
        self.size = size
        self._sizes = tuple(int(number) for number in sizes)
        self.count = count

    def __call__(self, images: Tensor) -> Iterator[Tensor]:
        """Yield copies of the windows, BxCx*size, one at a time.

        Args:
            images: BxCx*spatial; all of a batch are cut at the same places.
        """
        size = self._size_for(images)
        fitting = [
            min(extent, window) for extent, window in zip(images.shape[2:], size, strict=True)
        ]
        places = dense_patch_slices(images.shape[2:], fitting, fitting)
        scores = [_variance(images[(..., *place)]) for place in places]
        runs = min(self.count, len(places))
        edges = [run * len(places) // runs for run in range(runs + 1)]
        best = [max(range(*run), key=scores.__getitem__) for run in pairwise(edges)]
        for index in [i for i in best if scores[i] != 0.0] or best:
            window = images[(..., *places[index])].clone(memory_format=torch.contiguous_format)
            yield _padded(window, size)

    def _size_for(self, images: Tensor) -> tuple[int, ...]:
        """Return the size of a window in each spatial dimension of images."""
        dimensions = images.ndim - 2
        if not isinstance(self.size, list | tuple):
            return self._sizes * dimensions
        if len(self._sizes) != dimensions:
            raise ValueError(
                f"The 'size' parameter of AdaptationWindows has {len(self._sizes)} numbers, but "
                f"images of shape {tuple(images.shape)} have {dimensions} spatial dimensions; give "
                "a number for each, or one for all."
            )
        return self._sizes


def _variance(window: Tensor) -> float:
    """Return the mean variance of a window, below all others if it is not finite."""
    variance = window.flatten(2).float().var(dim=2, correction=0).mean()
    return float(variance) if bool(torch.isfinite(variance)) else _NOT_FINITE


def _padded(window: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return a window with zeros around it up to a size, the odd one behind."""
    margins: list[int] = []
    for extent, wanted in zip(reversed(window.shape[2:]), reversed(size), strict=True):
        before = (wanted - extent) // 2
        margins += [before, wanted - extent - before]
    return F.pad(window, margins) if any(margins) else window
