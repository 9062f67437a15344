# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Synthetic data in the raw layouts of the five data sets, to try the preparation without them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from grata_monai._checks import check_choice, check_number
from grata_monai.preparation._synthetic_files import folder_writer, zip_writer
from grata_monai.preparation._synthetic_layouts import (
    ORIGA_HEADER,
    ORIGA_LIST,
    Eye,
    Files,
    drishti_files,
    origa_files,
    refuge_files,
    refuge_valid_files,
    rim_one_files,
)
from grata_monai.preparation.official import official_stems
from grata_monai.preparation.splits import even_split

_OWNER = "write_synthetic_raw"
_SMALLEST_SCALE = 0.05

Parts = tuple[Sequence[str], Sequence[str]]


@dataclass(frozen=True)
class _Layout:
    """A raw layout.

    Args:
        parts: Returns the stems of the two parts that have images in every selection.
        files: Returns the files of an eye.
        archives: Name of the archive by first folder.
    """

    parts: Callable[[], Parts]
    files: Callable[[Eye], Files]
    archives: Mapping[str, str]


def _published_parts(domain: str) -> Parts:
    stems = official_stems(domain)
    return stems["train"], stems["test"]


def _even_parts(domain: str, tests: int) -> Parts:
    splits = even_split(official_stems(domain)[""], tests)
    return splits["train"], splits["test"]


def _refuge_valid_parts() -> Parts:
    stems = official_stems("REFUGE_Valid")[""]
    return tuple(s for s in stems if s[0] == "V"), tuple(s for s in stems if s[0] == "T")


_LAYOUTS: Mapping[str, _Layout] = MappingProxyType(
    {
        "rim-one-r3": _Layout(
            lambda: _published_parts("RIM_ONE_r3"),
            rim_one_files,
            {"RIM-ONE r3": "RIM-ONE r3.zip"},
        ),
        "refuge": _Layout(
            lambda: _even_parts("REFUGE", 80),
            refuge_files,
            {
                "Training400": "REFUGE-Training400.zip",
                "Annotation-Training400": "Annotation-Training400.zip",
            },
        ),
        "origa": _Layout(lambda: _even_parts("ORIGA", 150), origa_files, {"ORIGA": "ORIGA.zip"}),
        "refuge-valid": _Layout(
            _refuge_valid_parts,
            refuge_valid_files,
            {
                "REFUGE-Validation400": "REFUGE-Validation400.zip",
                "REFUGE-Validation400-GT": "REFUGE-Validation400-GT.zip",
                "Test400": "REFUGE-Test400.zip",
                "REFUGE-Test-GT": "REFUGE-Test-GT.zip",
            },
        ),
        "drishti-gs": _Layout(
            lambda: _published_parts("Drishti_GS"),
            drishti_files,
            {"Drishti-GS1_files": "Drishti-GS1_files.zip"},
        ),
    }
)

RAW_LAYOUTS = tuple(_LAYOUTS)
"""Keys of the raw layouts, in the order of the benchmark's domains."""


def synthetic_raw_stems(layout: str, images: int | None = None) -> tuple[str, ...]:
    """Return the official names that :func:`write_synthetic_raw` gives its images.

    Args:
        layout: One of :data:`RAW_LAYOUTS`.
        images: Number of images, 2 or more; ``None`` or more than the set has for all of it.

    Returns:
        The names, evenly spread over both parts of the set: training and test images, or the
        validation and test set of "refuge-valid".

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> synthetic_raw_stems("drishti-gs", 4)
        ('drishtiGS_002', 'drishtiGS_101', 'drishtiGS_001', 'drishtiGS_100')
    """
    return tuple(stem for part in _chosen(layout, images) for stem in part)


def write_synthetic_raw(
    root: str | os.PathLike[str],
    layout: str,
    *,
    images: int | None = None,
    scale: float = 0.25,
    seed: int = 0,
    zipped: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Path:
    """Write synthetic photographs and masks as the owners of a data set distribute theirs.

    Nesting, file names, formats, encodings and relative sizes are those of the real set; the
    pictures are painted, and which eyes have glaucoma is invented. An image depends on the layout,
    the seed, the scale and its name alone. Files of the same names are replaced, others are left
    alone.

    Args:
        root: Folder to write into; it is made if it is missing.
        layout: "rim-one-r3", "refuge", "origa", "refuge-valid" or "drishti-gs".
        images: Number of images, 2 or more; ``None`` or more than the set has for all of it (159,
            400, 650, 800 or 101). Fewer are spread over both parts of the set.
        scale: Size of the images in native sizes, 0.05 to 1.
        seed: Non-negative number.
        zipped: Whether to write zip archives in place of the folders.
        progress: Called with 1 after each image, as ``tqdm.update`` and click's ``update`` are.

    Returns:
        The folder.

    Raises:
        ValueError: If an argument is out of its range.
        OSError: If the folder cannot be written.
    """
    chosen = _chosen(layout, images)
    check_number(_OWNER, "scale", scale, minimum=_SMALLEST_SCALE, maximum=1.0)
    check_number(_OWNER, "seed", seed, minimum=0, integer=True)
    folder, kind = Path(root), _LAYOUTS[layout]
    rows: dict[str, bytes] = {}
    with zip_writer(folder, kind.archives) if zipped else folder_writer(folder) as write:
        for is_test, stems in enumerate(chosen):
            for stem in stems:
                files = kind.files(Eye(layout, stem, bool(is_test), scale, seed))
                rows[stem] = files.pop(ORIGA_LIST, b"")
                for path, content in files.items():
                    write(path, content)
                if progress is not None:
                    progress(1)
        if layout == "origa":
            write(ORIGA_LIST, ORIGA_HEADER + b"".join(rows[stem] for stem in sorted(rows)))
    return folder


def _chosen(layout: str, images: int | None) -> Parts:
    """Return the names of both parts; each has one at least."""
    check_choice(_OWNER, "layout", layout, _LAYOUTS)
    first, second = _LAYOUTS[layout].parts()
    total = len(first) + len(second)
    if images is None:
        return first, second
    check_number(_OWNER, "images", images, minimum=2, integer=True)
    if images >= total:
        return first, second
    of_second = min(max(1, round(images * len(second) / total)), images - 1)
    return (
        _spread(first, images - of_second, alone=0),
        _spread(second, of_second, alone=len(second) - 1),
    )


def _spread(stems: Sequence[str], count: int, *, alone: int) -> tuple[str, ...]:
    """Choose names evenly from the first to the last; a single one by its index."""
    if count == 1:
        return (stems[alone],)
    return tuple(stems[round(k * (len(stems) - 1) / (count - 1))] for k in range(count))
