# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How large an image may be, checked before its pixels are decoded."""

from __future__ import annotations

MOST_PIXELS = 2**26
"""Of an image; no fundus photograph has as many, and larger ones could fill the memory."""


def check_pixels(width: int, height: int) -> None:
    """Check that an image has no more pixels than a photograph can have.

    Raises:
        ValueError: If it has.
    """
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"it has {width} x {height} pixels, more than any photograph (at most {MOST_PIXELS})"
        )
