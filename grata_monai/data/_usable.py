# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tell the items of a datalist that can be used from those that would stop a stream."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from grata_monai.data._datalist_csv import FundusItem
from grata_monai.data._image_files import why_unreadable
from grata_monai.imaging import probe, read_mask, read_photograph

_logger = logging.getLogger(__name__)


def usable_items(items: Sequence[FundusItem]) -> tuple[list[FundusItem], dict[str, str]]:
    """Drop items that cannot be used, with one logged warning each.

    These are items whose image or mask cannot be decoded, whose image has levels of no fixed
    range, whose mask has colors or another size than the image, or whose disc center lies outside
    it.

    Args:
        items: MONAI datalist.

    Returns:
        The other items in their order, and for each image left out the reason.

    Raises:
        ValueError: If no item is left.
    """
    kept: list[FundusItem] = []
    reasons: dict[str, str] = {}
    for item in items:
        reason = _why_unusable(item)
        if reason is None:
            kept.append(item)
        elif reasons.setdefault(item["image"], reason) is reason:
            _logger.warning("%s; its row is left out", reason)
    if not kept:
        first = next(iter(reasons.values()), "the list is empty")
        raise ValueError(f"None of the {len(items)} images can be used; the first: {first}.")
    return kept, reasons


def _why_unusable(item: FundusItem) -> str | None:
    """Return what is wrong with the files of an item, or None."""
    files = [item["image"], *([item["label"]] if "label" in item else [])]
    for file in files:
        reason = why_unreadable(file)
        if reason:
            return f"{file} cannot be read ({reason})"
    (width, height), mode = probe(item["image"])
    needs_scaling = mode.startswith(("I", "F"))
    if "disc_center" in item:
        row, column = item["disc_center"]
        if not (0 <= row < height and 0 <= column < width):
            return f"the disc center ({row:g}, {column:g}) lies outside {item['image']}"
    return _why_unconvertible(item, (width, height), needs_scaling)


def _why_unconvertible(item: FundusItem, size: tuple[int, int], needs_scaling: bool) -> str | None:
    """Read what may decode and yet be no photograph or mask."""
    try:
        if needs_scaling:
            read_photograph(item["image"])
        if "label" not in item:
            return None
        mask_size = read_mask(item["label"]).size
    except ValueError as error:
        return str(error)
    if mask_size != size:
        sizes = " and ".join(f"{width}x{height}" for width, height in (size, mask_size))
        return f"{item['image']} and its mask differ in size ({sizes})"
    return None
