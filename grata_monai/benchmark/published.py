# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Published numbers, as data: mean Dice of disc and cup in points, by source domain. No torch."""

from __future__ import annotations

from types import MappingProxyType

import pandas as pd

from grata_monai.benchmark.presets import OBJECTIVES, pair_name
from grata_monai.data import DOMAINS

LETTERS = ("A", "B", "C", "D", "E")
COLUMNS = (*LETTERS, "average")
_NO_ADAPT = (67.96, 76.71, 74.71, 54.07, 68.88, 68.47)
_TENT = (74.06, 78.55, 74.56, 51.45, 69.66, 69.65)
_GRATA = (76.61, 78.81, 76.52, 66.84, 72.94, 74.34)
_Numbers = dict[str, tuple[float, ...]]
_TABLE1: _Numbers = {
    "No Adapt": _NO_ADAPT,
    "DUA": (73.10, 77.10, 75.34, 58.62, 72.99, 71.43),
    "DIGA": (76.57, 77.10, 73.64, 62.04, 71.54, 72.18),
    "MedBN": (75.14, 76.77, 74.46, 59.91, 72.00, 71.65),
    "TENT": _TENT,
    "DLTTA": (75.19, 78.48, 76.37, 57.50, 71.35, 71.78),
    "DomainAdaptor": (75.88, 77.43, 75.66, 58.64, 72.38, 72.00),
    "SAR": (75.26, 78.07, 75.07, 61.24, 73.69, 72.67),
    "DeTTA": (75.15, 78.17, 75.27, 61.26, 73.61, 72.69),
    "GraTa": _GRATA,
}
_TABLE2: _Numbers = {
    "con beta": (78.35, 78.50, 69.24, 52.13, 68.74, 69.39),
    "con aligned beta": (77.97, 78.77, 73.90, 56.53, 70.46, 71.53),
    "GraTa": _GRATA,
}
_UNKNOWN = (float("nan"),) * len(LETTERS)
_TABLE3 = {"ent beta": _TENT, "ent aligned eta": (*_UNKNOWN, 71.47), "GraTa": _GRATA}
_TABLE4 = {
    "GraTa linear": (*_UNKNOWN, 73.71),
    "GraTa sigmoid": (*_UNKNOWN, 73.83),
    "GraTa relu": (*_UNKNOWN, 72.92),
    "GraTa softplus": (*_UNKNOWN, 73.32),
    "GraTa": _GRATA,
}
# rows: pseudo objective; columns: auxiliary objective, in the order of OBJECTIVES without itself
_TABLE5_AVERAGES = {
    "con": (74.34, 73.81, 74.08, 74.02, 73.64),
    "ent": (71.47, 72.28, 71.43, 71.69, 72.13),
    "rec": (72.84, 72.01, 72.59, 72.73, 72.55),
    "rot": (72.76, 72.90, 72.60, 72.86, 72.70),
    "sup": (72.81, 72.15, 72.27, 72.04, 72.39),
    "den": (72.66, 72.00, 72.46, 71.65, 72.38),
}
_TABLE5 = {
    pair_name(pseudo, auxiliary): (*_UNKNOWN, average)
    for pseudo, averages in _TABLE5_AVERAGES.items()
    for auxiliary, average in zip(
        (name for name in OBJECTIVES if name != pseudo), averages, strict=True
    )
}
_CONTINUAL: _Numbers = {
    "No Adapt": (64.53, 76.06, 71.18, 52.67, 64.87, 65.86),
    "TENT": (73.07, 78.66, 71.94, 46.81, 70.20, 68.13),
    "CoTTA": (75.39, 75.98, 69.14, 53.99, 70.40, 68.98),
    "DLTTA": (75.11, 78.85, 73.89, 51.64, 69.71, 69.84),
    "SAR": (74.55, 77.71, 70.78, 55.40, 71.72, 70.03),
    "VPTTA": (73.91, 79.36, 74.51, 56.51, 75.35, 71.93),
}
CONTINUAL_ROUNDS = MappingProxyType(
    {
        "No Adapt": (65.86, 65.86, 65.86),
        "TENT": (68.13, 61.86, 59.02),
        "CoTTA": (68.98, 67.32, 66.32),
        "DLTTA": (69.84, 68.43, 67.14),
        "SAR": (70.03, 69.00, 68.58),
        "VPTTA": (71.93, 71.55, 71.07),
    }
)
"""Averages over the sources in rounds 1, 2 and 3 of the same stream (protocol ``vptta``)."""
_PUBLISHED: dict[str, _Numbers] = {
    "paper-table1": _TABLE1,
    "paper-table2": _TABLE2,
    "paper-table3": _TABLE3,
    "paper-table4": _TABLE4,
    "paper-table5": _TABLE5,
    "continual": _CONTINUAL,
}
PUBLISHED_PRESETS = MappingProxyType(
    {name: "vptta" if name == "continual" else "grata" for name in _PUBLISHED}
)
"""Presets with published numbers, and the protocol that those are of."""


def published(preset: str) -> pd.DataFrame:
    """Return the published numbers of a preset's methods.

    The paper's numbers are from one run each, without a seed. Those of ``continual`` are from a
    later project's table of round 1 and may be of other source models.

    Args:
        preset: Name of a preset.

    Returns:
        Methods x (A, B, C, D, E, average); the letters are source domains, "average" is over them,
        NaN is not published. Empty if nothing is published for the preset.

    Example:
        >>> published("paper-table1").loc["GraTa", "average"].item()
        74.34

    Reference:
        Z. Chen et al., AAAI 2025, Tables 1-5; Z. Chen et al., "Each Test Image Deserves A Specific
        Prompt", CVPR 2024, and the table of the PEOA-CTA project for ``continual``.
    """
    table = _PUBLISHED.get(preset, {})
    return pd.DataFrame(list(table.values()), index=list(table), columns=list(COLUMNS), dtype=float)


def domain_letter(source: str) -> str:
    """Return the letter that a domain has in the papers' tables, or "" if it is none of theirs.

    Example:
        >>> domain_letter("Drishti_GS")
        'E'
    """
    return DOMAINS[source].letter if source in DOMAINS else ""
