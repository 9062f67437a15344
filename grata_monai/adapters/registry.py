# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Methods by name, as configurations and the command line spell them."""

from __future__ import annotations

from typing import Any

from grata_monai._checks import check_choice
from grata_monai.adapters.base import Adapter
from grata_monai.adapters.batch_norm import BatchNormAdapt
from grata_monai.adapters.grata import GraTa
from grata_monai.adapters.source import Source
from grata_monai.adapters.tent import Tent

ADAPTERS: dict[str, type[Adapter]] = {
    "grata": GraTa,
    "ptbn": BatchNormAdapt,
    "source": Source,
    "tent": Tent,
}


def build_adapter(name: str, **settings: Any) -> Adapter:
    """Return the method of that name.

    Args:
        name: One of ``ADAPTERS``.
        settings: The method's arguments. None means the method's default, so that one
            configuration file serves methods with and without an option.

    Raises:
        ValueError: For an unknown name, an argument that the method does not have, or a value it
            does not take.
    """
    check_choice("build_adapter", "method", name, ADAPTERS)
    method = ADAPTERS[name]
    given = {key: value for key, value in settings.items() if value is not None}
    for key in given:
        check_choice(method.__name__, "settings", key, method.parameter_names())
    return method(**given)
