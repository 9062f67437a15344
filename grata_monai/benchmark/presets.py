# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's tables and figures, and what it lacks, as grids without data. No torch."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from grata_monai._checks import check_choice
from grata_monai.benchmark.grid import Grid, Method

NO_ADAPT = Method("No Adapt", "source")
PTBN = Method("PTBN", "ptbn")
TENT = Method("TENT", "tent")
GRATA = Method("GraTa", "grata")
_SOURCE_AND_PTBN = (NO_ADAPT, PTBN)
_RIVALS = (
    Method("DUA", "dua"),
    Method("DIGA", "diga"),
    Method("MedBN", "medbn"),
    TENT,
    Method("DLTTA", "dltta"),
    Method("DomainAdaptor", "domain_adaptor"),
    Method("SAR", "sar"),
    Method("DeTTA", "detta"),
)
_LATER = (
    Method("alpha-BN", "alpha_bn"),
    Method("InTEnt", "intent"),
    Method("VPTTA", "vptta"),
    Method("CoTTA", "cotta"),
    Method("MEMO", "memo"),
    Method("PASS", "pass"),
    Method("guarded GraTa", "guard"),
    Method("StatisticsChoice", "statistics_choice"),
)
OBJECTIVES = MappingProxyType(
    {
        "con": "consistency",
        "ent": "entropy",
        "rec": "reconstruction",
        "rot": "rotation",
        "sup": "super_resolution",
        "den": "denoising",
    }
)
"""The objectives of Table 5 by the paper's abbreviations."""
_CON = Method("con beta", "grata", {"auxiliary": "none"})
_CON_ALIGNED = Method("con aligned beta", "grata", {"mapping": "constant"})
_CONTROL = Method("GraTa constant mean rate", "grata", {"mapping": "constant"}, "GraTa")


def pair_name(pseudo: str, auxiliary: str) -> str:
    """Return the name of a method of Table 5.

    Example:
        >>> pair_name("con", "ent")
        'pse con / aux ent'
    """
    return f"pse {pseudo} / aux {auxiliary}"


def _table1() -> Grid:
    return Grid(
        name="paper-table1",
        title="Table 1: all methods, each target alone (with PTBN, which the paper lacks)",
        methods=(*_SOURCE_AND_PTBN, *_RIVALS, GRATA),
    )


def _table2() -> Grid:
    return Grid(
        name="paper-table2",
        title="Table 2: alignment and rate, with GraTa at its own constant mean rate as control",
        methods=(*_SOURCE_AND_PTBN, _CON, _CON_ALIGNED, GRATA, _CONTROL),
    )


def _table3() -> Grid:
    swapped = {"auxiliary": "consistency", "pseudo": "entropy"}
    return Grid(
        name="paper-table3",
        title="Table 3: which loss is pseudo and which is auxiliary",
        methods=(
            *_SOURCE_AND_PTBN,
            Method("ent beta", "tent"),
            Method("ent aligned beta", "grata", {**swapped, "mapping": "constant"}),
            Method("ent aligned eta", "grata", swapped),
            GRATA,
        ),
    )


def _table4() -> Grid:
    others = ("linear", "sigmoid", "relu", "softplus")
    return Grid(
        name="paper-table4",
        title="Table 4: mappings from the cosine to the learning rate",
        methods=(
            *_SOURCE_AND_PTBN,
            *(Method(f"GraTa {name}", "grata", {"mapping": name}) for name in others),
            GRATA,
        ),
    )


def _table5() -> Grid:
    pairs = [(pseudo, auxiliary) for pseudo in OBJECTIVES for auxiliary in OBJECTIVES]
    return Grid(
        name="paper-table5",
        title="Table 5: all pairs of pseudo and auxiliary objective (needs a source with heads)",
        methods=(
            *_SOURCE_AND_PTBN,
            *(_pair(pseudo, auxiliary) for pseudo, auxiliary in pairs if pseudo != auxiliary),
        ),
    )


def _pair(pseudo: str, auxiliary: str) -> Method:
    options = {"pseudo": OBJECTIVES[pseudo], "auxiliary": OBJECTIVES[auxiliary]}
    return Method(pair_name(pseudo, auxiliary), "grata", options)


def _figure3() -> Grid:
    return Grid(
        name="paper-figure3",
        title="Figure 3: pictures of a few images with every method",
        methods=(*_SOURCE_AND_PTBN, *_RIVALS, GRATA),
        limit=6,
    )


def _figure4() -> Grid:
    return Grid(
        name="paper-figure4",
        title="Figure 4: agreement of the gradients with that of the labels, with and without "
        "alignment",
        methods=(*_SOURCE_AND_PTBN, _CON, _CON_ALIGNED, GRATA),
        diagnostics=True,
    )


def _continual() -> Grid:
    names = {"DUA", "TENT", "DLTTA", "SAR"}
    return Grid(
        name="continual",
        title="All targets one after the other, three times, never back to the source",
        methods=(
            *_SOURCE_AND_PTBN,
            *(m for m in _RIVALS if m.name in names),
            *(m for m in _LATER if m.name in {"CoTTA", "VPTTA", "PASS"}),
            GRATA,
        ),
        protocols=("vptta",),
        rounds=3,
    )


def _all_methods() -> Grid:
    from grata_monai.adapters import ADAPTERS

    named = {m.method: m for m in (*_SOURCE_AND_PTBN, *_RIVALS, *_LATER, GRATA)}
    known = [m for m in named.values() if m.method in ADAPTERS]
    others = [Method(cls.__name__, key) for key, cls in ADAPTERS.items() if key not in named]
    return Grid(
        name="all-methods",
        title="Every method there is, with its defaults",
        methods=(*known, *others),
    )


def _statistics_choice() -> Grid:
    shares = (0.9, 0.75, 0.5, 0.25)
    parts: dict[str, dict[str, object]] = {
        "StatisticsChoice": {},
        "colors only": {"candidates": ["colors"]},
        "full match only": {"candidates": ["colors"], "strengths": [1.0]},
        "mixture only": {"candidates": ["mixture"]},
        "without the method": {"candidates": ["colors", "mixture"]},
        "without shapes": {"trust": 0.0},
        "with GraTa": {"adapter": "grata"},
    }
    return Grid(
        name="statistics-choice",
        title="Source statistics, those of the image, mixtures, and the choice between them",
        methods=(
            *_SOURCE_AND_PTBN,
            *(Method(f"source share {s:g}", "alpha_bn", {"source_share": s}) for s in shares),
            Method("InTEnt", "intent"),
            TENT,
            GRATA,
            *(Method(name, "statistics_choice", options) for name, options in parts.items()),
        ),
    )


def _smoke() -> Grid:
    return Grid(
        name="smoke",
        title="Four methods on a few small images: does everything work?",
        methods=(*_SOURCE_AND_PTBN, TENT, GRATA),
        limit=4,
        image_size=128,
    )


_PRESETS: dict[str, Callable[[], Grid]] = {
    "paper-table1": _table1,
    "paper-table2": _table2,
    "paper-table3": _table3,
    "paper-table4": _table4,
    "paper-table5": _table5,
    "paper-figure3": _figure3,
    "paper-figure4": _figure4,
    "continual": _continual,
    "all-methods": _all_methods,
    "statistics-choice": _statistics_choice,
    "smoke": _smoke,
}
PRESETS = tuple(_PRESETS)
"""Names of the presets."""


def preset(name: str) -> Grid:
    """Return a preset: a grid without sources and targets.

    Args:
        name: One of ``PRESETS``.

    Raises:
        ValueError: If there is none of that name; a close match is suggested.

    Example:
        >>> [method.name for method in preset("smoke").methods]
        ['No Adapt', 'PTBN', 'TENT', 'GraTa']
    """
    check_choice("preset", "name", name, PRESETS)
    return _PRESETS[name]()
