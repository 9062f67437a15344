# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Encode synthetic raw files and write them as folders or as zip archives."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.io
from PIL import Image

from grata_monai._files import atomic_path

Write = Callable[[str, bytes], None]
"""Takes a file's path in the download, with slashes, and its content."""

_MAT_HEADER = b"MATLAB 5.0 MAT-file".ljust(116)
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def png_bytes(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode as PNG."""
    return _encode(pixels, "PNG", compress_level=3)


def bmp_bytes(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode as BMP."""
    return _encode(pixels, "BMP")


def jpeg_bytes(pixels: npt.NDArray[np.uint8], *, quality: int) -> bytes:
    """Encode as JPEG."""
    return _encode(pixels, "JPEG", quality=quality)


def mat_bytes(**matrices: npt.NDArray[Any]) -> bytes:
    """Encode as a MATLAB 5 file, without the date that its header would have."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, matrices, do_compression=True)
    return _MAT_HEADER + buffer.getvalue()[len(_MAT_HEADER) :]


@contextmanager
def folder_writer(root: Path) -> Iterator[Write]:
    """Yield a function that writes files below a folder, each all or not at all."""

    def write(path: str, content: bytes) -> None:
        with atomic_path(root / path) as temporary:
            temporary.write_bytes(content)

    yield write


@contextmanager
def zip_writer(root: Path, archives: Mapping[str, str]) -> Iterator[Write]:
    """Yield a function that writes files into archives, which appear when all is written.

    Args:
        root: Folder of the archives.
        archives: Name of the archive by the first folder of a file's path.
    """
    with ExitStack() as stack:
        opened = {
            folder: stack.enter_context(
                zipfile.ZipFile(stack.enter_context(atomic_path(root / name)), "w")
            )
            for folder, name in archives.items()
        }

        def write(path: str, content: bytes) -> None:
            # the time is fixed, so that the same files give the same archive
            info = zipfile.ZipInfo(path, date_time=_ZIP_EPOCH)
            info.external_attr = 0o644 << 16
            opened[path.split("/", 1)[0]].writestr(
                info, content, compress_type=zipfile.ZIP_DEFLATED, compresslevel=1
            )

        yield write


def _encode(pixels: npt.NDArray[np.uint8], kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind, **options)
    return buffer.getvalue()
