# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Look at images before anything is learned from them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from grata_monai._checks import check_choice, check_number
from grata_monai.state.snapshot import evaluating
from grata_monai.state.spread_distance import noise_spread_distance, spread_distance

OnFault = Literal["predict", "skip"]
FaultKind = Literal["not_finite", "channels", "too_small", "constant", "foreign"]

_NOISE_RANGE = (0.18, 0.26)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fault:
    """What is wrong with an image.

    Args:
        kind: Which of the guard's checks failed.
        message: One sentence for people: the numbers, and what to do.
        predictable: Whether a prediction makes sense all the same.
    """

    kind: FaultKind
    message: str
    predictable: bool


class StreamGuard:
    r"""Finds the images of a stream that a method should not learn from; needs no labels.

    In this order, and cheap ones first:

    1. ``not_finite``: NaN or infinite values.
    2. ``channels``: another number of channels than the network takes.
    3. ``too_small``: a side below ``smallest_side``.
    4. ``constant``: no contrast, or one value in nearly all pixels (an empty frame, a caption).
    5. ``foreign``: no picture of what the source was trained on. With d the image's distance from
       the source (``state.spread_distance``, which sees structure and not colors) and
       :math:`d_0` that of uniform noise of the same shape, d > ``foreign_share`` :math:`d_0`.

    How a source sees noise also tells whether it can be asked: :math:`d_0` was 0.20 to 0.23 with
    four trained sources at the image size of their training, 0.11 to 0.17 with statistics of
    untrained networks or of a few batches, and 0.28 to 0.37 with trained ones at a half or a
    quarter of their size, where even their own images are far from them. Outside 0.18 to 0.26 the
    last check says nothing, as it does for networks without batch normalization that keeps running
    statistics. ``scripts/calibrate_guard.py`` prints how often it is right, with any source.

    What looks enough like a fundus passes, and so does a malicious image that was made from a
    real one. Only the life cycle ``"per_image"`` keeps that from all others.

    Args:
        on_fault: What becomes of an image with a fault: ``"predict"`` without learning from it,
            or ``"skip"``. The guard does not do it itself. Faults 1 and 2 leave nothing to predict.
        smallest_side: Fewest pixels along a side, at least 1. 2: one pixel has no statistics.
        smallest_contrast: Least difference between the largest and the smallest value, >= 0.
            1e-3 is a quarter of one step of an 8-bit image in [0, 1].
        largest_plain_share: Largest share of the pixels that may have one and the same value (to
            ``smallest_contrast``), in (0, 1]. 0.95: around a whole photograph's round field of
            view, less than half of the pixels are black.
        foreign_share: See 5; > 0, None to leave this check out. 0.9: the farthest of 261 genuine
            regions (101 of them new to the source) had 0.70; of 160 with changed brightness,
            color, sharpness, noise or frame one had more than 0.88; of 47 pictures of something
            else 35 had more than 0.9. At 0.85 it would be 3 and 41: a new camera that is left out
            costs more.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
        >>> fault = StreamGuard().inspect(torch.zeros(1, 3, 8, 8), network)
        >>> fault.kind, fault.predictable
        ('constant', True)
        >>> StreamGuard().inspect(torch.rand(1, 3, 8, 8), network) is None
        True
    """

    def __init__(
        self,
        *,
        on_fault: OnFault = "predict",
        smallest_side: int = 2,
        smallest_contrast: float = 1e-3,
        largest_plain_share: float = 0.95,
        foreign_share: float | None = 0.9,
    ) -> None:
        owner = type(self).__name__
        check_choice(owner, "on_fault", on_fault, ("predict", "skip"))
        check_number(owner, "smallest_side", smallest_side, minimum=1, integer=True)
        check_number(owner, "smallest_contrast", smallest_contrast, minimum=0.0)
        check_number(owner, "largest_plain_share", largest_plain_share, minimum=1e-9, maximum=1.0)
        if foreign_share is not None:
            check_number(owner, "foreign_share", foreign_share, minimum=1e-9)
        self.on_fault = on_fault
        self.smallest_side = smallest_side
        self.smallest_contrast = smallest_contrast
        self.largest_plain_share = largest_plain_share
        self.foreign_share = foreign_share
        self._told = False

    @torch.no_grad()
    def inspect(self, images: Tensor, network: nn.Module) -> Fault | None:
        """Return the first fault found, or None. Network and random numbers stay as they are.

        Args:
            images: BxCx*spatial, as the network gets them; a batch with one bad image is bad.
            network: The source network, or one that behaves as the source during the call. Bound
                networks do within ``adapter.as_source()``.
        """
        fault = self.inspect_values(images, network)
        if fault is not None or images.ndim < 3 or not images.is_floating_point():
            return fault
        return _first(self._foreign(image, network) for image in torch.split(images, 1))

    @torch.no_grad()
    def inspect_values(self, images: Tensor, network: nn.Module) -> Fault | None:
        """Return the first of the faults 1 to 4, or None: all that needs no pass of sound images.

        For images too large for the network, of which it sees windows.

        Args:
            images: As for ``inspect``.
            network: As for ``inspect``.
        """
        if images.ndim < 3 or not len(images) or not images.is_floating_point():
            return None  # an error of the caller's, which the method explains
        if not bool(torch.isfinite(images).all()):
            count = int((~torch.isfinite(images)).sum())
            return Fault(
                "not_finite",
                f"{count} of {images.numel()} values are NaN or infinite; look at how the image "
                "was read and scaled.",
                predictable=False,
            )
        return (
            _wrong_channels(images, network)
            or self._too_small(images)
            or _first(self._constant(image) for image in images)
        )

    def _too_small(self, images: Tensor) -> Fault | None:
        sides = tuple(images.shape[2:])
        if min(sides) >= self.smallest_side:
            return None
        return Fault(
            "too_small",
            f"the image has {'x'.join(map(str, sides))} pixels, fewer than "
            f"{self.smallest_side} along a side; look at how it was cut out.",
            predictable=images.numel() > 0,
        )

    def _constant(self, image: Tensor) -> Fault | None:
        contrast = float(image.max() - image.min())
        if contrast < self.smallest_contrast:
            return Fault(
                "constant",
                f"the image has one value only, {float(image.mean()):g} (contrast {contrast:g}); "
                "look at the file: it is empty or covered.",
                predictable=True,
            )
        pixels = image.flatten(1)
        plain = (pixels - pixels.median(dim=1, keepdim=True).values).abs() < self.smallest_contrast
        share = float(plain.all(dim=0).double().mean())  # single: 8 of 10 would be above 0.8
        if share <= self.largest_plain_share:
            return None
        return Fault(
            "constant",
            f"{share:.1%} of the pixels have the same value, more than "
            f"{self.largest_plain_share:.1%}; look at the file: it is empty but for a few marks.",
            predictable=True,
        )

    def _foreign(self, image: Tensor, network: nn.Module) -> Fault | None:
        if self.foreign_share is None:
            return None
        distance = None
        try:
            noise = noise_spread_distance(network, image)
            if noise is not None and _NOISE_RANGE[0] <= noise <= _NOISE_RANGE[1]:
                distance = spread_distance(network, image)
        except (ValueError, RuntimeError) as error:  # e.g. it only takes windows of this size
            _logger.debug("The network does not take the image as a whole: %s", error)
            return None
        if noise is None or distance is None:
            self._tell_once(noise)
            return None
        if distance <= self.foreign_share * noise:
            return None
        return Fault(
            "foreign",
            f"the image is {distance / noise:.2f} times as far from the source model's training "
            f"images as noise is (up to {self.foreign_share:g} is let pass); look whether it is "
            "of the kind that the model was made for.",
            predictable=True,
        )

    def _tell_once(self, noise: float | None) -> None:
        """Log that the check for foreign images says nothing about this network at this size."""
        if self._told:
            return
        self._told = True
        reason = (
            "the network keeps no statistics of its source"
            if noise is None
            else f"noise is {noise:.2f} from the source, not within {_NOISE_RANGE[0]} to "
            f"{_NOISE_RANGE[1]}; is the image size that of the source's training?"
        )
        _logger.warning(
            "Images that are of something else are not found with this network (%s).", reason
        )


def _first(faults: Iterable[Fault | None]) -> Fault | None:
    return next((fault for fault in faults if fault is not None), None)


def _wrong_channels(images: Tensor, network: nn.Module) -> Fault | None:
    """Return a fault if the first convolution takes other images and the network fails on these.

    Both, as the first convolution in the list of a network's parts need not see the image.
    """
    convolution = next((m for m in network.modules() if isinstance(m, _ConvNd)), None)
    given = images.shape[1]
    if convolution is None or convolution.in_channels == given:
        return None
    try:
        with evaluating(network):
            network(images[:1])
    except RuntimeError:
        return Fault(
            "channels",
            f"the image has {given} channel(s), the network takes {convolution.in_channels}; "
            "convert it, e.g. to RGB.",
            predictable=False,
        )
    return None
