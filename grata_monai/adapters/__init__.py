# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Test-time adaptation methods, one file each, under one contract."""

from __future__ import annotations

from grata_monai.adapters.alpha_bn import AlphaBN
from grata_monai.adapters.base import Adapter, Infer, LifeCycle, Windows
from grata_monai.adapters.batch_norm import BatchNormAdapt
from grata_monai.adapters.batched import BatchedEpisodes
from grata_monai.adapters.cotta import CoTTA
from grata_monai.adapters.detta import DeTTA
from grata_monai.adapters.diga import DIGA
from grata_monai.adapters.dltta import DLTTA
from grata_monai.adapters.domain_adaptor import DomainAdaptor
from grata_monai.adapters.dua import DUA
from grata_monai.adapters.grata import GraTa
from grata_monai.adapters.guard import Guard
from grata_monai.adapters.intent import InTEnt
from grata_monai.adapters.medbn import MedBN
from grata_monai.adapters.memo import MEMO
from grata_monai.adapters.pass_ import Pass
from grata_monai.adapters.registry import ADAPTERS, build_adapter
from grata_monai.adapters.sar import SAR
from grata_monai.adapters.source import Source
from grata_monai.adapters.statistics_choice import StatisticsChoice
from grata_monai.adapters.tent import Tent
from grata_monai.adapters.vptta import VPTTA

__all__ = [
    "ADAPTERS",
    "DIGA",
    "DLTTA",
    "DUA",
    "MEMO",
    "SAR",
    "VPTTA",
    "Adapter",
    "AlphaBN",
    "BatchNormAdapt",
    "BatchedEpisodes",
    "CoTTA",
    "DeTTA",
    "DomainAdaptor",
    "GraTa",
    "Guard",
    "InTEnt",
    "Infer",
    "LifeCycle",
    "MedBN",
    "Pass",
    "Source",
    "StatisticsChoice",
    "Tent",
    "Windows",
    "build_adapter",
]
