# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Segment one photograph of any size: locate, crop, adapt, predict, paste back."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms.post.array import AsDiscrete
from monai.transforms.post.dictionary import Invertd
from torch import Tensor, nn

from grata_monai.adapters import Adapter
from grata_monai.execution import Execution
from grata_monai.imaging import Window
from grata_monai.inferers import AdaptiveInferer, CollapseAlarm, StreamGuard
from grata_monai.localization import DiscLocation
from grata_monai.metrics import vertical_cup_disc_ratio
from grata_monai.transforms import fundus_preprocessing, label_map

Photograph = npt.NDArray[np.uint8]
SEGMENTS = {"optic disc": 1, "optic cup": 2}
"""Names of the segments and their values in label maps: the disc is every label from 1 on."""


@dataclass(frozen=True)
class Segmentation:
    """What came out for one photograph.

    Args:
        labels: HxW in the photograph's size: 0 background, 1 rim, 2 cup.
        window: The part of the photograph that the network saw.
        vcdr: Vertical cup-to-disc ratio; None where no disc was seen.
        confidences: Of disc and cup, from 0 to 1: twice the mean probability inside the mask, less
            one; 0 for an empty mask. How sure the network is, no probability of being right.
        location: Where the disc was looked for; None in a region.
        trace: Numbers of the adaptation (``Adapter.trace_``): cosine, learning rate, losses.
        images_seen: Images that the state has adapted to, this one included if it had no fault.
        event: Why the state did not learn from the photograph, or was given up; or "".
        seconds: What it took, without locating.
    """

    labels: npt.NDArray[np.uint8]
    window: Window
    vcdr: float | None
    confidences: dict[str, float]
    location: DiscLocation | None
    trace: dict[str, float] = field(default_factory=dict)
    images_seen: int = 0
    event: str = ""
    seconds: float = 0.0

    @property
    def confidence(self) -> float:
        """The lower one of the two confidences."""
        return min(self.confidences.values())


@dataclass(frozen=True, kw_only=True)
class Segmenter:
    """Segments photographs with one network; the same steps as the bundle's inference config.

    Args:
        network: The source model, given back as it was.
        image_size: Side of its input.
        roi_size: Side of the region around the disc in pixels of the photograph.
        device: Where the network is.
        execution: How it is run.
        guarded: Whether photographs with a fault are segmented without an update, and a collapsed
            state is given up: ``StreamGuard``, ``CollapseAlarm``.
    """

    network: nn.Module
    image_size: int = 512
    roi_size: int = 800
    device: torch.device | str = "cpu"
    execution: Execution = field(default_factory=Execution)
    guarded: bool = True

    def __call__(
        self, photograph: Photograph, adapter: Adapter, location: DiscLocation | None = None
    ) -> Segmentation:
        """Return disc and cup of a photograph.

        Args:
            photograph: HxWx3.
            adapter: The method, with its state; see ``AdaptiveInferer`` for how it is bound.
            location: Where the disc is; None takes the photograph whole, as a region.

        Raises:
            ValueError: If the disc's center is outside the photograph, or the guard refuses it.
        """
        start = time.perf_counter()
        item = self.prepare(photograph, location)
        inferer = AdaptiveInferer(
            adapter,
            execution=self.execution,
            guard=StreamGuard() if self.guarded else None,
            alarm=CollapseAlarm() if self.guarded else None,
        )
        logits = inferer(item["image"][None].to(self.device), self.network)
        probabilities = torch.sigmoid(logits[0].float()).cpu()
        masks = _paste_back(probabilities, item, self._preprocess)
        height, width = photograph.shape[:2]
        window = (
            Window(0, 0, height, width)
            if location is None
            else Window.around(location.center, self.roi_size)
        )
        ratio = float(vertical_cup_disc_ratio(masks[None])[0])
        return Segmentation(
            labels=label_map(masks),
            window=window,
            vcdr=None if math.isnan(ratio) else ratio,
            confidences={
                name: _confidence(channel)
                for name, channel in zip(SEGMENTS, probabilities, strict=True)
            },
            location=location,
            trace=dict(adapter.trace_),
            images_seen=adapter.images_seen_,
            event=inferer.event_,
            seconds=time.perf_counter() - start,
        )

    def prepare(self, photograph: Photograph, location: DiscLocation | None) -> dict[str, Any]:
        """Return the item with the network's input under "image", 3xHxW in [0, 1].

        Args:
            photograph: HxWx3.
            location: Where the disc is, or None.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(photograph.transpose(2, 0, 1)))
        item: dict[str, Any] = {"image": pixels}
        if location is not None:
            item["disc_center"] = location.center
        return self._preprocess(item)  # type: ignore[no-any-return]

    @cached_property
    def _preprocess(self) -> Any:
        """The transforms; MONAI inverts only with the very ones that were applied."""
        return fundus_preprocessing(size=self.image_size, roi_size=self.roi_size, keys=("image",))


def _paste_back(probabilities: Tensor, item: dict[str, Any], preprocess: Any) -> Tensor:
    """Return the masks 2xHxW in the photograph's size."""
    item["pred"] = probabilities
    invert = Invertd(
        keys="pred", transform=preprocess, orig_keys="image", nearest_interp=False, to_tensor=True
    )
    masks: Tensor = AsDiscrete(threshold=0.5)(invert(item)["pred"])
    return masks.as_subclass(Tensor)


def _confidence(probabilities: Tensor) -> float:
    inside = probabilities[probabilities >= 0.5]
    return float(2 * inside.mean() - 1) if inside.numel() else 0.0
