# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The five optic disc and cup domains of the published benchmark, as frozen records."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from grata_monai._checks import check_choice


@dataclass(frozen=True)
class FundusDomain:
    """One domain of the fundus benchmark.

    The terms are short notes of what is known, not legal advice: read the owners' own terms
    before you use or pass on images, masks or weights trained on them.

    Args:
        name: Name in the published folder and on the command line.
        letter: Letter in the papers' tables.
        title: Name of the data set.
        images: Number of images; all of them are used, for training as for adaptation.
        csv_files: The lists, in the order in which the online stream reads them.
        terms: What is known of the terms of use.

    Reference:
        Z. Chen et al., "Gradient Alignment Improves Test-Time Adaptation for Medical Image
        Segmentation", AAAI 2025, section 4.1.
    """

    name: str
    letter: str
    title: str
    images: int
    csv_files: tuple[str, ...]
    terms: str


_RECORDS = (
    FundusDomain(
        name="RIM_ONE_r3",
        letter="A",
        title="RIM-ONE r3",
        images=159,
        csv_files=("RIM_ONE_r3_train.csv", "RIM_ONE_r3_test.csv"),
        terms="Research use; no redistribution without the owners' consent.",
    ),
    FundusDomain(
        name="REFUGE",
        letter="B",
        title="REFUGE challenge, training set",
        images=400,
        csv_files=("REFUGE_train.csv", "REFUGE_test.csv"),
        terms="Challenge terms (registration, research and education); do not redistribute.",
    ),
    FundusDomain(
        name="ORIGA",
        letter="C",
        title="ORIGA(-light)",
        images=650,
        csv_files=("ORIGA_train.csv", "ORIGA_test.csv"),
        terms="No grant of a licence is known; do not redistribute.",
    ),
    FundusDomain(
        name="REFUGE_Valid",
        letter="D",
        title="REFUGE challenge, validation and test sets",
        images=800,
        csv_files=("REFUGE_Valid.csv",),
        terms="Challenge terms (registration, research and education); do not redistribute.",
    ),
    FundusDomain(
        name="Drishti_GS",
        letter="E",
        title="Drishti-GS1",
        images=101,
        csv_files=("Drishti_GS_train.csv", "Drishti_GS_test.csv"),
        terms="Research only, according to a catalog; do not redistribute.",
    ),
)

DOMAINS = MappingProxyType({record.name: record for record in _RECORDS})
"""The five domains by name, in the order of the papers' tables."""


def domain(name: str) -> FundusDomain:
    """Return a domain of the benchmark by its name.

    Raises:
        ValueError: If there is none of that name; a close match is suggested.

    Example:
        >>> domain("Drishti_GS").images
        101
    """
    check_choice("domain", "name", name, DOMAINS)
    return DOMAINS[name]
