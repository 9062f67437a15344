# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Names of the images of the five data sets, with the splits that are published."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from grata_monai._checks import check_choice

# Sets whose images are numbered: prefix, digits, last number. Which of them the published folders
# train and test on is not known.
_NUMBERED: Mapping[str, tuple[tuple[str, int, int], ...]] = MappingProxyType(
    {
        "REFUGE": (("g", 4, 40), ("n", 4, 360)),
        "ORIGA": (("", 3, 650),),
        "REFUGE_Valid": (("V", 4, 400), ("T", 4, 400)),
    }
)


def official_stems(domain: str) -> dict[str, tuple[str, ...]]:
    """Return the file names without extension of a data set's images, by split.

    Args:
        domain: "RIM_ONE_r3" and "Drishti_GS" have the splits "train" and "test"; "REFUGE",
            "ORIGA" and "REFUGE_Valid" one unnamed split "", as theirs are not published.

    Returns:
        The names in natural order; the validation set of REFUGE comes before its test set.

    Raises:
        ValueError: If there is no such domain; a close match is suggested.

    Example:
        >>> {split: len(stems) for split, stems in official_stems("Drishti_GS").items()}
        {'train': 50, 'test': 51}
        >>> official_stems("REFUGE")[""][:2]
        ('g0001', 'g0002')

    Reference:
        K.-K. Maninis et al., "Deep Retinal Image Understanding", MICCAI 2016, for RIM-ONE r3; the
        split of Drishti-GS1 is its owners'.
    """
    table = _published()
    check_choice("official_stems", "domain", domain, (*table, *_NUMBERED))
    if domain in table:
        return dict(table[domain])
    stems = (
        f"{prefix}{number:0{digits}d}"
        for prefix, digits, last in _NUMBERED[domain]
        for number in range(1, last + 1)
    )
    return {"": tuple(stems)}


@functools.cache
def _published() -> dict[str, dict[str, tuple[str, ...]]]:
    file = files("grata_monai.preparation").joinpath("official_splits.json")
    content = json.loads(file.read_text(encoding="utf-8"))
    return {
        domain: {split: tuple(stems) for split, stems in splits.items()}
        for domain, splits in content.items()
    }
