# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Read a matrix of numbers from a MATLAB file (MAT-file of level 5, as MATLAB 5 to 7 save it).

``scipy.io.loadmat`` is not used: its compiled reader ends the process on some damaged files.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

_MOST_BYTES = 2**29
_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_TYPES = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
_CLASSES = dict(zip(range(6, 16), _TYPES, strict=True))
_COMPLEX = 0x0800


def read_matrix(data: bytes, name: str) -> npt.NDArray[Any]:
    """Return a real matrix of a MATLAB file.

    Args:
        data: The file.
        name: The matrix's name.

    Raises:
        ValueError: If there is none, or the file is damaged or of another level.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[_HEADER - 2 : _HEADER])
    if order is None:
        raise ValueError("it is no MAT-file of level 5; save it with MATLAB's -v7")
    for kind, content in _elements(data[_HEADER:], order):
        matrix = _matrix(content, order, name) if kind == _MATRIX else None
        if matrix is not None:
            return matrix
    raise ValueError(f"it has no real matrix {name!r}")


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of what stands one after the other; compressed elements inflated."""
    at = 0
    while at + 8 <= len(data):
        kind, size = (int(n) for n in np.frombuffer(data, f"{order}u4", 2, at))
        start = at + 8
        if kind >> 16:  # a small element has its size beside its type, and its content in the tag
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
        content = data[start : start + size]
        if len(content) < size or (start == at + 4 and size > 4):
            raise ValueError("it is damaged or cut off")
        if kind == _COMPRESSED:
            yield from _elements(_inflated(content), order)
            at = start + size
        else:
            yield kind, content
            at = at + 8 if start == at + 4 else start + (size + 7) // 8 * 8


def _inflated(data: bytes) -> bytes:
    try:
        content = zlib.decompressobj().decompress(data, _MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"it is damaged: {error}") from error
    if len(content) == _MOST_BYTES:
        raise ValueError(f"it holds more than {_MOST_BYTES} bytes")
    # what is compressed must not be so once more: that could go on without end
    if content[:1] == bytes([_COMPRESSED]) or content[3:4] == bytes([_COMPRESSED]):
        raise ValueError("it is compressed twice")
    return content


def _matrix(content: bytes, order: str, name: str) -> npt.NDArray[Any] | None:
    """Return the matrix of an element if it has the name and holds real numbers."""
    parts = list(_elements(content, order))
    if len(parts) < 4 or len(parts[0][1]) < 4 or parts[2][1] != name.encode():
        return None
    flags = int(np.frombuffer(parts[0][1], f"{order}u4", 1)[0])
    number, numbers = _CLASSES.get(flags & 0xFF), _NUMBERS.get(parts[3][0])
    if number is None or numbers is None or flags & _COMPLEX:
        return None
    shape = np.frombuffer(parts[1][1], f"{order}i4").tolist()
    values = np.frombuffer(parts[3][1], f"{order}{numbers}")
    return values.astype(number).reshape(shape, order="F")
