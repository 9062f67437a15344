# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The weak and strong views as MONAI transforms of single images."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms.inverse import InvertibleTransform
from monai.transforms.transform import MapTransform, Randomizable, RandomizableTransform
from torch import Tensor

from grata_monai._checks import check_choice, check_number
from grata_monai.transforms._tracking import (
    Affine,
    ImageArray,
    as_tensor,
    plain,
    recall,
    record,
    restore,
    with_metadata_of,
)
from grata_monai.transforms.geometry import WEAK_VIEWS, View
from grata_monai.transforms.style import StrongView

_VIEWS = {view.name: view for view in WEAK_VIEWS}
_SEED_LIMIT = 2**32 - 1


class WeakView(InvertibleTransform):
    """Flip or rotate an image by a right angle; the inverse is exact.

    Args:
        view: Name of one of ``WEAK_VIEWS``: identity, hflip, vflip, rot90, rot180, rot270.
    """

    def __init__(self, *, view: str = "identity") -> None:
        check_choice("WeakView", "view", view, _VIEWS)
        self.view = view

    def __call__(self, img: ImageArray) -> Tensor:
        """Return the image, CxHxW, seen this way."""
        image, view = as_tensor(img), _VIEWS[self.view]
        turned = view.apply(plain(image)).clone(memory_format=torch.contiguous_format)
        return record(self, image, turned, affine=_index_affine(view, *image.shape[1:]))

    def inverse(self, data: ImageArray) -> Tensor:
        """Return the image as it was."""
        image, _, info = recall(self, data)
        upright = _VIEWS[self.view].invert(plain(image))
        return restore(self, image, upright.clone(memory_format=torch.contiguous_format), info)


class WeakViewd(MapTransform, InvertibleTransform):
    """Dictionary form of :class:`WeakView`.

    Args:
        keys: Entries to flip or rotate.
        view: Name of one of ``WEAK_VIEWS``.
        allow_missing_keys: Whether an item may lack some of the keys.

    Example:
        >>> turn = WeakViewd("image", view="rot90")
        >>> item = turn({"image": torch.tensor([[[1, 2], [3, 4]]])})
        >>> item["image"].tolist(), turn.inverse(item)["image"].tolist()
        ([[[2, 4], [1, 3]]], [[[1, 2], [3, 4]]])
    """

    def __init__(
        self,
        keys: Hashable | Iterable[Hashable],
        *,
        view: str = "identity",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.view = view
        self.viewer = WeakView(view=view)

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        """Return the item with the keys seen this way."""
        item: dict[Hashable, Any] = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.viewer(item[key])
        return item

    def inverse(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        """Return the item with the keys as they were."""
        item: dict[Hashable, Any] = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.viewer.inverse(item[key])
        return item


class RandStrongView(RandomizableTransform):
    """Give an image a random style; random numbers come from MONAI's ``set_random_state``.

    Args:
        strong: The strong view; default: ``StrongView()``.
        prob: Probability that anything is done, in [0, 1].
    """

    def __init__(self, *, strong: StrongView | None = None, prob: float = 1.0) -> None:
        check_number("RandStrongView", "prob", prob, minimum=0.0, maximum=1.0)
        super().__init__(prob)
        self.strong = StrongView() if strong is None else strong
        self.seed_ = 0

    def randomize(self, data: object = None) -> None:
        """Draw whether to act, and the seed of the style."""
        super().randomize(data)
        self.seed_ = int(self.R.randint(_SEED_LIMIT, dtype=np.uint32))

    def __call__(self, img: ImageArray, randomize: bool = True) -> Tensor:
        """Return the image, CxHxW floating point in [0, 1], in a new style.

        Args:
            img: The image; never changed.
            randomize: Whether to draw anew, or use what was drawn last.
        """
        if randomize:
            self.randomize()
        image = as_tensor(img)
        if not self._do_transform:
            return with_metadata_of(image, image.clone())
        generator = torch.Generator().manual_seed(self.seed_)
        return with_metadata_of(image, self.strong(plain(image)[None], generator)[0])


class RandStrongViewd(MapTransform, Randomizable):
    """Dictionary form of :class:`RandStrongView`: all keys get the same style.

    Args:
        keys: Entries to change; images only, never masks.
        strong: The strong view; default: ``StrongView()``.
        prob: Probability that anything is done, in [0, 1].
        allow_missing_keys: Whether an item may lack some of the keys.
    """

    def __init__(
        self,
        keys: Hashable | Iterable[Hashable],
        *,
        strong: StrongView | None = None,
        prob: float = 1.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.strong = strong
        self.prob = prob
        self.styler = RandStrongView(strong=strong, prob=prob)

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> RandStrongViewd:
        """Set the random state of the style."""
        super().set_random_state(seed, state)
        self.styler.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        """Return the item with the keys in a new style."""
        item: dict[Hashable, Any] = dict(data)
        self.styler.randomize()
        for key in self.key_iterator(item):
            item[key] = self.styler(item[key], randomize=False)
        return item


def _index_affine(view: View, height: int, width: int) -> Affine:
    """Return the matrix from indices of the view to indices of the image."""
    affine = np.eye(3)[[1, 0, 2]] if view.transpose else np.eye(3)
    for dim, size in ((-2, height), (-1, width)):
        if dim in view.flip:
            affine[dim + 2] *= -1
            affine[dim + 2, 2] = size - 1
    return affine
