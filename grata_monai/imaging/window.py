# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A rectangle of pixels that may reach over the border of its image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


def overlap(start: int, length: int, size: int) -> tuple[slice, slice]:
    """Return where the pixels ``start .. start + length`` lie in an axis of ``size`` pixels.

    Returns:
        Which part of the axis is covered, and which part of the window covers it; both empty if
        they do not meet.

    Example:
        >>> overlap(-2, 5, 10)
        (slice(0, 3, None), slice(2, 5, None))
    """
    first = min(max(start, 0), size)
    last = max(min(start + length, size), first)
    offset = min(max(first - start, 0), length)
    return slice(first, last), slice(offset, offset + last - first)


@dataclass(frozen=True)
class Window:
    """A rectangle in pixels of an image.

    Args:
        top: First row; may be negative.
        left: First column; may be negative.
        height: Number of rows.
        width: Number of columns.
    """

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def around(cls, center: tuple[float, float], side: int) -> Window:
        """Return the square that begins at ``round(center) - side // 2``, as the paper's crops do.

        Args:
            center: (row, column).
            side: Rows and columns of the square.

        Example:
            >>> Window.around((5, 2), 8)
            Window(top=1, left=-2, height=8, width=8)
        """
        row, column = center
        return cls(round(row) - side // 2, round(column) - side // 2, side, side)

    def shifted_inside(self, size: tuple[int, int]) -> Window:
        """Return the window moved as little as it takes to lie inside an image (height, width).

        On an axis where the image is smaller, the image lies in the middle of the window.

        Example:
            >>> Window(-3, 8, 4, 4).shifted_inside((10, 10))
            Window(top=0, left=6, height=4, width=4)
        """
        top, left = (
            min(max(start, 0), length - side) if length >= side else (length - side) // 2
            for start, side, length in zip(
                (self.top, self.left), (self.height, self.width), size, strict=True
            )
        )
        return Window(top, left, self.height, self.width)

    def is_inside(self, size: tuple[int, int]) -> bool:
        """Tell whether the window reaches nowhere over the border of an image (height, width)."""
        height, width = size
        return (
            self.top >= 0
            and self.left >= 0
            and self.top + self.height <= height
            and self.left + self.width <= width
        )

    def cut(self, image: npt.NDArray[Any], fill: float = 0) -> npt.NDArray[Any]:
        """Return the window's pixels, filled where it lies outside.

        Args:
            image: HxW or HxWxC.
            fill: Value of pixels outside the image.

        Example:
            >>> Window(-1, 0, 2, 3).cut(np.array([[1, 2], [3, 4]]), fill=9)
            array([[9, 9, 9],
                   [1, 2, 9]])
        """
        rows, to_rows = overlap(self.top, self.height, image.shape[0])
        columns, to_columns = overlap(self.left, self.width, image.shape[1])
        pixels = np.full((self.height, self.width, *image.shape[2:]), fill, dtype=image.dtype)
        pixels[to_rows, to_columns] = image[rows, columns]
        return pixels

    def paste(
        self, pixels: npt.NDArray[Any], size: tuple[int, int], fill: float = 0
    ) -> npt.NDArray[Any]:
        """Return the window's pixels in an image (height, width) that is ``fill`` elsewhere."""
        return Window(-self.top, -self.left, *size).cut(pixels, fill)
