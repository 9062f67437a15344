# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""From the levels of raw masks to disc and cup, refusing what does not look like them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from grata_monai.preparation.problems import FileError

Mask = npt.NDArray[np.bool_]
"""2xHxW: disc including the cup, cup."""

SIZE_RULES = ("error", "crop", "resize")
_RESIZE_TOLERANCE = 0.01
_LARGEST_SPILL = 0.25


@dataclass(frozen=True)
class MaskLevels:
    """Which levels of a one-file mask mean what; the cup is part of the disc.

    Args:
        background: Level of what is no disc.
        rim: Level of the disc without the cup.
        cup: Level of the cup; None if the masks have no cup.
        tolerance: How far a level may be off, as in masks that were saved as JPEG.
    """

    background: int
    rim: int
    cup: int | None
    tolerance: int = 0

    def decode(self, levels: npt.NDArray[Any]) -> Mask:
        """Return disc and cup.

        Args:
            levels: HxW.

        Raises:
            FileError: If there are other levels.
        """
        rim, background = (self._near(levels, level) for level in (self.rim, self.background))
        cup = np.zeros_like(rim) if self.cup is None else self._near(levels, self.cup)
        unknown = ~(rim | background | cup)
        if unknown.any():
            raise unknown_levels(levels[unknown], str(self))
        return np.stack([rim | cup, cup])

    def fits(self, levels: npt.NDArray[Any]) -> bool:
        """Tell whether there are no other levels."""
        return bool(np.isin(np.unique(levels), self._known()).all())

    def __str__(self) -> str:
        """Return the levels in words."""
        cup = "" if self.cup is None else f", {self.cup} cup"
        return f"{self.background} background, {self.rim} rim{cup}"

    def _known(self) -> list[int]:
        return [level for level in (self.background, self.rim, self.cup) if level is not None]

    def _near(self, levels: npt.NDArray[Any], level: int) -> npt.NDArray[np.bool_]:
        if not self.tolerance:
            return np.asarray(levels == level)
        return np.abs(levels.astype(np.int64) - level) <= self.tolerance


AUTHORS = MaskLevels(background=255, rim=128, cup=0)
LABELS = MaskLevels(background=0, rim=1, cup=2)


def decode_by_levels(levels: npt.NDArray[Any]) -> Mask:
    """Return disc and cup of a mask in the authors' levels or in labels 0/1/2, whichever it has.

    Raises:
        FileError: If it has other levels, or levels that leave open what they mean.
    """
    if LABELS.fits(levels):
        return LABELS.decode(levels)
    if AUTHORS.fits(levels) and 255 in levels:
        if 0 in levels and 128 not in levels:
            raise FileError(
                "the mask has two levels, 0 and 255, so it is not clear what is disc and what cup",
                "Get the mask with rim and cup apart (0, 128, 255).",
            )
        return AUTHORS.decode(levels)
    raise unknown_levels(levels, f"{AUTHORS}; or {LABELS}")


def decode_by_thresholds(levels: npt.NDArray[Any], *, cup: int, rim: int) -> Mask:
    """Return disc and cup of a mask of a ready-made folder, whose levels may be a little off.

    Args:
        levels: HxW.
        cup: Highest level of the cup.
        rim: Highest level of the rim.

    Raises:
        FileError: If the mask has labels 0/1/2 instead, which would make all of it disc.
    """
    if levels.max() <= LABELS.rim + 1:
        raise unknown_levels(levels, str(AUTHORS))
    return np.stack([levels <= rim, levels <= cup])


def decode_binary(levels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return where a mask of one structure has its high level (255, or 1).

    Raises:
        FileError: If there are other levels than 0 and a high one.
    """
    values = np.unique(levels)
    if values.size > 2 or not np.isin(values, (0, 1, 255)).all() or (values > 0).sum() > 1:
        raise unknown_levels(levels, "0 background, 255 (or 1) foreground")
    return np.asarray(levels > 0)


def unknown_levels(levels: npt.NDArray[Any], expected: str) -> FileError:
    """Return the error for a mask with levels of no known meaning."""
    values = np.unique(levels)
    shown = ", ".join(str(value) for value in values[:8]) + (", ..." if values.size > 8 else "")
    return FileError(
        f"the mask has levels of unknown meaning (expected: {expected})",
        "Get the original mask; one that was saved as JPEG, resized smoothly or colored has "
        "other levels (for your own data, --tolerance allows for that).",
        f"levels {shown}",
    )


@dataclass
class Notes:
    """What was done to an image's files on the way, by kind."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, count: int) -> None:
        """Note something that concerns so many pixels, if any."""
        if count:
            self.counts[kind] = int(count)


def fit_mask(mask: Mask, size: tuple[int, int], rule: str, notes: Notes) -> Mask:
    """Return a mask in the size (height, width) of its photograph.

    Args:
        mask: 2xHxW.
        size: Height and width of the photograph.
        rule: What to do if they differ: "error"; "crop" the mask's width on both sides equally if
            the heights agree; "resize" by the nearest pixel if neither side is off by over 1 %.
        notes: Takes what was done.

    Raises:
        FileError: If the sizes differ and the rule does not allow it.
    """
    height, width = mask.shape[1:]
    if (height, width) == size:
        return mask
    if rule == "crop" and height == size[0] and width > size[1]:
        left = (width - size[1]) // 2
        notes.add("mask_cropped_columns", width - size[1])
        return mask[:, :, left : left + size[1]]
    off = max(abs(height - size[0]) / size[0], abs(width - size[1]) / size[1])
    if rule == "resize" and off <= _RESIZE_TOLERANCE:
        notes.add("mask_resized_pixels", abs(height - size[0]) + abs(width - size[1]))
        return np.stack([_resize(channel, size) for channel in mask])
    raise FileError(
        "photograph and mask differ in size",
        "Get the pair from the same source, or choose another rule for sizes if you know how they "
        "belong together.",
        f"photograph {size[1]}x{size[0]}, mask {width}x{height}",
    )


def check_mask(mask: Mask, notes: Notes) -> Mask:
    """Return the mask with the cup cut to the disc, having looked whether it can be a mask.

    Raises:
        FileError: If there is no disc, it reaches all corners, or much of the cup lies outside it.
    """
    disc, cup = mask
    if not disc.any():
        raise FileError("the mask has no disc", "Draw the disc, or leave the photograph out.")
    if is_inverted(disc):
        raise FileError(
            "the disc reaches all four corners of the photograph",
            "Check whether foreground and background of the mask are exchanged.",
            f"{disc.mean():.0%} of the photograph are disc",
        )
    spill = cup & ~disc
    if spill.sum() > _LARGEST_SPILL * cup.sum():
        raise FileError(
            "much of the cup lies outside the disc",
            "Check whether the masks of disc and cup are exchanged or of another photograph.",
            f"{spill.sum()} of {cup.sum()} pixels",
        )
    notes.add("cup_outside_disc", spill.sum())
    notes.add("no_cup", int(not cup.any()))
    return np.stack([disc, cup & disc])


def is_inverted(disc: npt.NDArray[np.bool_]) -> bool:
    """Tell whether a mask has its disc outside: real discs may be large, but leave the corners."""
    return bool(disc[[0, 0, -1, -1], [0, -1, 0, -1]].all())


def fill_disc(mask: Mask, notes: Notes) -> Mask:
    """Return the mask with the holes of the disc filled, as a broken outline leaves them."""
    filled = ndimage.binary_fill_holes(mask[0])
    notes.add("disc_holes_filled", int((filled & ~mask[0]).sum()))
    return np.stack([filled, mask[1]])


def _resize(channel: npt.NDArray[np.bool_], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    image = Image.fromarray(channel.astype(np.uint8)).resize(size[::-1], Image.Resampling.NEAREST)
    return np.asarray(image).astype(bool)
