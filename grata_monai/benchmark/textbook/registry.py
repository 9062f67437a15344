# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Textbook methods by the names of the package's adapters."""

from __future__ import annotations

from typing import Any

from torch import nn

from grata_monai.benchmark.textbook.base import Textbook
from grata_monai.benchmark.textbook.cotta import CoTTA
from grata_monai.benchmark.textbook.detta import DeTTA
from grata_monai.benchmark.textbook.diga import DIGA
from grata_monai.benchmark.textbook.dltta import DLTTA
from grata_monai.benchmark.textbook.domain_adaptor import DomainAdaptor
from grata_monai.benchmark.textbook.dua import DUA
from grata_monai.benchmark.textbook.grata import GraTa
from grata_monai.benchmark.textbook.guard import Guard
from grata_monai.benchmark.textbook.intent import InTEnt
from grata_monai.benchmark.textbook.memo import MEMO
from grata_monai.benchmark.textbook.other_statistics import AlphaBN, MedBN
from grata_monai.benchmark.textbook.pass_ import Pass
from grata_monai.benchmark.textbook.sar import SAR
from grata_monai.benchmark.textbook.source import BatchNormAdapt, Source
from grata_monai.benchmark.textbook.statistics_choice import StatisticsChoice
from grata_monai.benchmark.textbook.tent import Tent
from grata_monai.benchmark.textbook.vptta import VPTTA

TEXTBOOK: dict[str, type[Textbook]] = {
    "alpha_bn": AlphaBN,
    "cotta": CoTTA,
    "detta": DeTTA,
    "diga": DIGA,
    "dltta": DLTTA,
    "domain_adaptor": DomainAdaptor,
    "dua": DUA,
    "grata": GraTa,
    "guard": Guard,
    "intent": InTEnt,
    "medbn": MedBN,
    "memo": MEMO,
    "pass": Pass,
    "ptbn": BatchNormAdapt,
    "sar": SAR,
    "source": Source,
    "statistics_choice": StatisticsChoice,
    "tent": Tent,
    "vptta": VPTTA,
}


def build_textbook(name: str, network: nn.Module, *, seed: int = 0, **settings: Any) -> Textbook:
    """Return the textbook form of a method on a copy of a network.

    Args:
        name: One of ``TEXTBOOK``.
        network: The source network, which stays as it is.
        seed: Seed of the method's random draws.
        settings: Further arguments of the method.

    Raises:
        TypeError: For an argument that the method does not have.
        ValueError: For an unknown name.
    """
    if name not in TEXTBOOK:
        raise ValueError(
            f"The 'name' parameter of build_textbook must be one of {', '.join(sorted(TEXTBOOK))}. "
            f"Got {name!r}."
        )
    return TEXTBOOK[name](network, seed=seed, **settings)
