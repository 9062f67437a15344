# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Find pictures that are the same by perceptual hashes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

HASH_SIZE = 16
# Of 256 bits. Measured on 261 real regions of two data sets, between different eyes: 70 to 164,
# median 122. Between an image and itself at most: JPEG of quality 50 10; 512 to 256 pixels 6,
# and back to 512 8; 20 grey levels brighter 10, darker 16; 20 % brighter 24; gamma 0.8 14; moved
# by two pixels 18; half the size, JPEG of quality 75 and 10 % brighter 14. Moved by eight pixels
# (34 to 50) or mirrored (128) it is not recognized.
SAME_PICTURE = 32
_BLOCK = 1024


def picture_hash(photograph: Image.Image) -> bytes:
    """Return the perceptual hash of a picture, 32 bytes."""
    import imagehash  # scipy's Fourier transforms come with it

    bits = imagehash.phash(photograph, hash_size=HASH_SIZE).hash
    return np.packbits(bits.ravel()).tobytes()


def same_pictures(hashes: Sequence[bytes]) -> Iterator[tuple[int, int, int]]:
    """Yield (index, later index, distance) of the pairs that are the same picture.

    Args:
        hashes: Of :func:`picture_hash`.

    Example:
        >>> list(same_pictures([bytes(32), bytes([255] * 32), bytes([0] * 31 + [3])]))
        [(0, 2, 2)]
    """
    if not hashes:
        return
    packed = np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(len(hashes), -1)
    signs: npt.NDArray[np.float32] = np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1
    bits = signs.shape[1]
    for start in range(0, len(signs), _BLOCK):
        # in blocks, for the matrix of a hundred thousand images would fill the memory
        distances = (bits - signs[start : start + _BLOCK] @ signs.T) / 2
        rows, columns = np.nonzero(distances <= SAME_PICTURE)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            if start + row < column:
                yield start + row, column, int(distances[row, column])
