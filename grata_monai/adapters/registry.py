# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Methods by name, as configurations and the command line spell them."""

from __future__ import annotations

from typing import Any

from grata_monai._checks import check_choice
from grata_monai.adapters.alpha_bn import AlphaBN
from grata_monai.adapters.base import Adapter
from grata_monai.adapters.batch_norm import BatchNormAdapt
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
from grata_monai.adapters.sar import SAR
from grata_monai.adapters.source import Source
from grata_monai.adapters.statistics_choice import StatisticsChoice
from grata_monai.adapters.tent import Tent
from grata_monai.adapters.vptta import VPTTA
from grata_monai.adapters.wrapping import WrappingAdapter

ADAPTERS: dict[str, type[Adapter]] = {
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


def build_adapter(name: str, **settings: Any) -> Adapter:
    """Return the method of that name.

    Args:
        name: One of ``ADAPTERS``.
        settings: The method's arguments. None means the method's default, so that one
            configuration file serves methods with and without an option. Where a method wraps
            another, ``adapter`` may be that one's name (for ``guard`` ``grata`` if left out), and
            arguments that the wrapper has not are those of the method in it.

    Raises:
        ValueError: For an unknown name, an argument that the method does not have, or a value it
            does not take.
    """
    check_choice("build_adapter", "method", name, ADAPTERS)
    method = ADAPTERS[name]
    given = {key: value for key, value in settings.items() if value is not None}
    if issubclass(method, WrappingAdapter):
        given = _with_wrapped(method, given)
    for key in given:
        check_choice(method.__name__, "settings", key, method.parameter_names())
    return method(**given)


def _with_wrapped(wrapper: type[WrappingAdapter], settings: dict[str, Any]) -> dict[str, Any]:
    """Return a wrapper's settings with the method in it built from its name and the rest."""
    own = wrapper.parameter_names()
    inner = {key: value for key, value in settings.items() if key not in own}
    adapter = settings.get("adapter", wrapper.default_method)
    if not isinstance(adapter, str):
        return settings
    check_choice(wrapper.__name__, "adapter", adapter, ADAPTERS)
    outer = {key: value for key, value in settings.items() if key in own}
    return {**outer, "adapter": build_adapter(adapter, **inner)}
