# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Write PNG files, each all or not at all."""

from __future__ import annotations

import os
from typing import Any

import numpy.typing as npt
from PIL import Image

from grata_monai._files import atomic_path


def write_png(
    pixels: npt.NDArray[Any], path: str | os.PathLike[str], *, compress_level: int = 3
) -> None:
    """Write an 8-bit image, HxW or HxWx3.

    Args:
        pixels: The image, unsigned 8-bit.
        path: File to write; missing folders are made.
        compress_level: 0 (none) to 9; PIL's own default of 6 takes seconds for a photograph and
            saves a few percent.

    Raises:
        OSError: If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=compress_level)
