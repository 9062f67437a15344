# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Cut the region around the disc out of a photograph and its mask, and put results back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from grata_monai._checks import check_choice, check_number
from grata_monai.imaging import BACKGROUND_GREY, CUP_GREY, Window, disc_center, encode_mask
from grata_monai.preparation.decoding import Mask, Notes
from grata_monai.preparation.problems import FileError

CENTERS = ("centroid", "bbox", "detect", "file", "whole")
BORDERS = ("pad", "shift")
EXIF = ("refuse", "ignore", "apply")
Size = tuple[int, int]

Locator = Callable[[npt.NDArray[np.uint8]], tuple[tuple[float, float], float]]
"""From a photograph to the disc's (row, column) and how sure that is, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class RegionOptions:
    """How regions are cut and stored.

    Args:
        roi_size: Side of the window in pixels of the photograph; 800 as in the papers.
        size: Side at which it is stored; None: as it is cut. The authors' loaders resize to 512
            themselves.
        center: Where the window goes: "centroid" of the disc's largest part or middle of its
            "bbox" (bounding box) in the mask; "detect" (no mask needed); "file" (given centers);
            "whole" takes the photograph as it is. Which one the published folder used is not known.
        border: Where the window reaches over the border: "pad" (photograph 0, mask background) or
            "shift" it inside. Not known for the published folder either; pOSAL's padded.
        exif: What to do with a photograph that a viewer would turn: "refuse", "ignore" (pixels as
            stored) or "apply" (turn them).
    """

    roi_size: int = 800
    size: int | None = None
    center: str = "centroid"
    border: str = "pad"
    exif: str = "refuse"

    def __post_init__(self) -> None:
        """Check the choices."""
        owner = "RegionOptions"
        check_number(owner, "roi_size", self.roi_size, minimum=16, maximum=16384, integer=True)
        if self.size is not None:
            check_number(owner, "size", self.size, minimum=16, maximum=16384, integer=True)
        check_choice(owner, "center", self.center, CENTERS)
        check_choice(owner, "border", self.border, BORDERS)
        check_choice(owner, "exif", self.exif, EXIF)


@dataclass(frozen=True)
class Region:
    """A region as it is stored, and where it comes from.

    Args:
        image: HxWx3.
        mask: HxW in the authors' levels; None if there is none.
        window: Where it was cut, in pixels of the photograph.
        center: (row, column) that the window was meant for.
        center_from: How that was found.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8] | None
    window: Window
    center: tuple[float, float]
    center_from: str


def cut_region(
    photograph: npt.NDArray[np.uint8],
    mask: Mask | None,
    options: RegionOptions,
    *,
    given: tuple[float, float] | None = None,
    locate: Locator | None = None,
    notes: Notes,
) -> Region:
    """Cut and resize the region as PIL does: photograph bicubic, mask by the nearest pixel.

    Args:
        photograph: HxWx3.
        mask: 2xHxW; None if there is none.
        options: How to cut.
        given: (row, column) for the center "file".
        locate: Finds the disc for the center "detect".
        notes: Takes what was done.

    Raises:
        FileError: If there is no center, or it is outside the photograph.
    """
    size = (photograph.shape[0], photograph.shape[1])
    grey = None if mask is None else encode_mask(mask)
    if options.center == "whole":
        center = ((size[0] - 1) / 2, (size[1] - 1) / 2)
        window = Window(0, 0, *size)
    else:
        center = _find_center(photograph, grey, options.center, given, locate, notes)
        window = Window.around(center, options.roi_size)
        if options.border == "shift":
            window = window.shifted_inside(size)
        notes.add("pixels_beyond_border", _beyond(window, size))
    image = window.cut(photograph)
    had_cup = False
    cut_mask = None if grey is None else window.cut(grey, fill=BACKGROUND_GREY)
    if grey is not None and cut_mask is not None:
        lost = int((grey < BACKGROUND_GREY).sum() - (cut_mask < BACKGROUND_GREY).sum())
        had_cup = bool((cut_mask == CUP_GREY).any())
        notes.add("disc_pixels_outside_region", lost)
        if not (cut_mask < BACKGROUND_GREY).any():
            raise FileError(
                "the disc lies outside the region",
                "Correct the center, or take it from the mask (--center centroid).",
            )
    if options.size is not None:
        side = (options.size, options.size)
        image = _resize(image, side, Image.Resampling.BICUBIC)
        if cut_mask is not None:
            cut_mask = _resize(cut_mask, side, Image.Resampling.NEAREST)
            if not (cut_mask < BACKGROUND_GREY).any():
                raise FileError(
                    "nothing of the disc is left at the stored size", "Choose a larger --size."
                )
            notes.add("cup_lost_by_resizing", had_cup and not (cut_mask == CUP_GREY).any())
    return Region(image, cut_mask, window, center, options.center)


def paste_back(
    prediction: npt.NDArray[Any], window: Window, native_size: Size, *, fill: int = 0
) -> npt.NDArray[Any]:
    """Return a label map of a region in the size of the whole photograph.

    Args:
        prediction: HxW labels of the stored region; resized to the window by the nearest pixel.
        window: Where the region was cut, in pixels of the photograph.
        native_size: Height and width of the photograph.
        fill: Label outside the region.
    """
    size = (window.height, window.width)
    pixels = prediction
    if prediction.shape != size:
        pixels = _resize(prediction, size, Image.Resampling.NEAREST)
    return window.paste(pixels, native_size, fill)


def _find_center(
    photograph: npt.NDArray[np.uint8],
    grey: npt.NDArray[np.uint8] | None,
    source: str,
    given: tuple[float, float] | None,
    locate: Locator | None,
    notes: Notes,
) -> tuple[float, float]:
    if source == "detect":
        if locate is None:
            raise ValueError("The center 'detect' needs a function that finds the disc.")
        center, confidence = locate(photograph)
        notes.add("center_confidence_percent", round(100 * confidence))
        return center
    if source == "file":
        return _checked(given, photograph.shape[:2])
    if grey is None:
        raise FileError(
            "there is no mask to take the disc's center from",
            "Choose --center detect or file.",
        )
    if source == "bbox":
        rows, columns = np.nonzero(grey < BACKGROUND_GREY)
        return (
            float(rows.min() + rows.max()) / 2,
            float(columns.min() + columns.max()) / 2,
        )
    return disc_center(grey)


def _checked(given: tuple[float, float] | None, size: tuple[int, ...]) -> tuple[float, float]:
    if given is None:
        raise FileError(
            "the file of centers has no row for it",
            "Add the row, or find centers with grata-monai data locate.",
        )
    row, column = given
    if not (0 <= row < size[0] and 0 <= column < size[1]):
        raise FileError(
            "the given center lies outside the photograph",
            "Correct the row; are x and y, or row and column, exchanged?",
            f"row {row:g}, column {column:g} of {size[0]}x{size[1]}",
        )
    return given


def _beyond(window: Window, size: Size) -> int:
    """Return by how many pixels the window reaches over the border, on the worst side."""
    return max(
        0,
        -window.top,
        -window.left,
        window.top + window.height - size[0],
        window.left + window.width - size[1],
    )


def _resize(pixels: npt.NDArray[Any], size: Size, resample: Image.Resampling) -> npt.NDArray[Any]:
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], resample))
