# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Find image files, pair them with their masks and tell readable ones from broken ones."""

from __future__ import annotations

import os
import re
from pathlib import Path

from PIL import UnidentifiedImageError

from grata_monai.imaging import read_photograph
from grata_monai.imaging.dicom import DICOM_SUFFIXES, is_dicom
from grata_monai.imaging.reading import UNREADABLE, open_image

IMAGE_SUFFIXES = (".bmp", *DICOM_SUFFIXES, ".jpeg", ".jpg", ".png", ".tif", ".tiff")
_IMAGE_FOLDERS = ("image", "images")
_MASK_FOLDERS = ("mask", "masks")
_OF_A_RUN = frozenset({"settings.json", "trace.csv", "run.state.pt"})


def is_image_name(path: Path) -> bool:
    """Tell by its name whether a file is an image (hidden files are not)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def find_images(folder: Path) -> list[Path]:
    """Return all images below a folder in natural order (``2.png`` before ``10.png``).

    Hidden files and folders, folders of masks, and the predictions of an earlier run (beside a
    file that it has written) are left out. If the folder itself has both an
    image folder and a mask folder, only the image folder is searched.
    """
    names = {entry.name.lower(): entry for entry in folder.iterdir() if entry.is_dir()}
    image_folders = [names[name] for name in _IMAGE_FOLDERS if name in names]
    has_masks = any(name in names for name in _MASK_FOLDERS)
    start = image_folders[0] if image_folders and has_masks else folder
    found: list[Path] = []
    for parent, folders, files in os.walk(start):
        results = set() if _OF_A_RUN.isdisjoint(files) else {"predictions"}
        folders[:] = [n for n in folders if not _is_skipped_folder(n) and n not in results]
        found.extend(path for path in (Path(parent, name) for name in files) if is_image_name(path))
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def find_mask(image: Path, root: Path) -> Path | None:
    """Return the mask of an image below ``root``: the same stem in the mask folder beside it.

    ``root/train/image/7.jpg`` is paired with ``root/train/mask/7.png`` (any image format).
    """
    parts = image.relative_to(root).parts
    for position in range(len(parts) - 2, -1, -1):
        if parts[position].lower() in _IMAGE_FOLDERS:
            parent = root.joinpath(*parts[:position])
            inner = parts[position + 1 : -1]
            folders = (entry for entry in sorted(parent.iterdir()) if entry.is_dir())
            for folder in folders:
                if folder.name.lower() in _MASK_FOLDERS:
                    return _same_stem(folder.joinpath(*inner), image.stem)
    return None


def why_unreadable(path: str) -> str | None:
    """Return why an image cannot be decoded, or ``None`` if it can.

    PNG files are checked by their checksums and JPEG files decoded at reduced size, which is much
    cheaper than decoding them in full and finds truncated files as well.
    """
    try:
        if is_dicom(Path(path)):
            read_photograph(path)
            return None
        with open_image(path) as image:
            if image.format == "PNG":
                image.verify()
            else:
                image.draft("L", (64, 64))
                image.load()
    except UnidentifiedImageError:
        return "not an image of a known format, or empty"
    except UNREADABLE as error:
        return str(error) or type(error).__name__
    return None


def _same_stem(folder: Path, stem: str) -> Path | None:
    for suffix in IMAGE_SUFFIXES:
        for candidate in (folder / f"{stem}{suffix}", folder / f"{stem}{suffix.upper()}"):
            if candidate.is_file():
                return candidate
    return None


def _is_skipped_folder(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX" or name.lower() in _MASK_FOLDERS


def natural_key(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a sort key that compares the numbers in a name or path as numbers.

    Example:
        >>> sorted(["10.png", "2.png"], key=natural_key)
        ['2.png', '10.png']
    """
    pieces = re.split(r"([0-9]+)", text)
    numbers = (piece.lstrip("0") if piece.isdecimal() else None for piece in pieces)
    key = [
        (0, len(number), number) if number is not None else (1, 0, piece.lower())
        for piece, number in zip(pieces, numbers, strict=True)
    ]
    return key, text
