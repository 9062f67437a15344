# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a grey mask of disc and cup."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from grata_monai.imaging import BACKGROUND_GREY, CUP_GREY, RIM_GREY, split_grey
from grata_monai.preparation.decoding import is_inverted
from grata_monai.preparation.findings import Severity

MaskFinding: TypeAlias = tuple[Severity, str, str, str]
"""Severity, and what, cure and detail of a problem."""

# Regions of 512 and 800 pixels of five cameras have discs of 3 to 71 % of their area; whole
# photographs of 1 to 3 %.
SMALLEST_DISC, LARGEST_DISC = 0.003, 0.8
# On 261 real images all but one have no cup pixel beside the background; that one (a cup that
# reaches the disc's edge) has 31 % of the cup's outline.
OPEN_OUTLINE = 0.05
_EIGHT = np.ones((3, 3), dtype=bool)


def check_grey_mask(mask: npt.NDArray[np.uint8]) -> Iterator[MaskFinding]:
    """Yield what is wrong with an HxW mask: 0 cup, 1..254 rim, 255 background.

    After a wrong encoding nothing else is looked at, for it would be noise.
    """
    levels, counts = np.unique(mask, return_counts=True)
    if levels.max() <= 2:
        yield (
            "error",
            "the mask is a label map, not grey levels",
            "Write 0 (background), 1 (rim), 2 (cup) as 255, 128, 0; `grata-monai data prepare "
            "generic --encoding labels` does.",
            f"levels {', '.join(map(str, levels))}",
        )
        return
    if is_inverted(mask < BACKGROUND_GREY):
        yield (
            "error",
            "the mask is inverted: its corners are disc",
            "Write background as 255, rim as 128, cup as 0; `grata-monai data prepare generic "
            "--levels` does.",
            f"levels {', '.join(map(str, levels[:6]))}",
        )
        return
    strange = ~np.isin(levels, (CUP_GREY, RIM_GREY, BACKGROUND_GREY))
    if strange.any():
        shown = ", ".join(map(str, levels[strange][:4]))
        yield (
            "warning",
            "the mask has levels besides 0, 128 and 255, all taken for rim",
            "Saved as JPEG, or resized smoothly? `grata-monai data import-fundus` writes the "
            "three levels only.",
            f"{shown}{', ...' if strange.sum() > 4 else ''}: {counts[strange].sum()} pixels",
        )
    yield from _check_shapes(mask)


def _check_shapes(mask: npt.NDArray[np.uint8]) -> Iterator[MaskFinding]:
    disc, cup = split_grey(mask)
    if not disc.any():
        yield "error", "the mask has no disc", "Leave the image out, or draw it.", ""
        return
    share = disc.mean()
    if not SMALLEST_DISC <= share <= LARGEST_DISC:
        cure = "Look at the mask: is the background 255?"
        yield "warning", "the disc's share of the image is implausible", cure, f"{share:.1%}"
    if _touches_frame(disc):
        cure = "Look at it; a larger region holds the whole disc."
        yield "warning", "the disc touches the border of the image", cure, ""
    _, parts = ndimage.label(disc, _EIGHT)
    if parts > 1:
        sizes = sorted(np.bincount(ndimage.label(disc, _EIGHT)[0].ravel())[1:], reverse=True)
        shown = " + ".join(map(str, sizes[:4])) + (" + ..." if parts > 4 else "")
        cure = "Look at it; stray pixels count as disc in scores."
        yield "warning", "the disc has several parts", cure, f"{shown} pixels"
    if not cup.any():
        cure = "Look at it; an empty cup scores 0 or 1 and nothing between."
        yield "warning", "the mask has no cup", cure, ""
        return
    if (cup == disc).all():
        cure = "Look at it: is it a mask of the disc alone?"
        yield "warning", "the whole disc is cup", cure, ""
        return
    yield from _check_cup_inside(disc, cup)


def _check_cup_inside(
    disc: npt.NDArray[np.bool_], cup: npt.NDArray[np.bool_]
) -> Iterator[MaskFinding]:
    outline = cup & ~ndimage.binary_erosion(cup, border_value=1)
    beside = int((cup & ndimage.binary_dilation(~disc)).sum())
    share = beside / max(int(outline.sum()), 1)
    if share > OPEN_OUTLINE:
        cure = "Look at it: a cup lies inside the disc, with rim around."
        detail = f"{beside} pixels, {share:.0%} of its outline"
        yield "warning", "the cup touches the background", cure, detail


def _touches_frame(region: npt.NDArray[np.bool_]) -> bool:
    return bool(region[0].any() or region[-1].any() or region[:, 0].any() or region[:, -1].any())
