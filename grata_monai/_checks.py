# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Argument checks with one form of message: parameter, owner, what is allowed, what was given."""

from __future__ import annotations

import difflib
import math
import numbers
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_choice(owner: str, name: str, value: object, choices: Iterable[str]) -> None:
    """Check that a parameter is one of a closed set of strings.

    Raises:
        ValueError: If ``value`` is not among ``choices``; a close match is suggested.
    """
    allowed = sorted(choices)
    if value in allowed:
        return
    lowered = {choice.lower(): choice for choice in allowed}
    close = difflib.get_close_matches(str(value).lower(), lowered, n=1)
    hint = f"; did you mean {lowered[close[0]]!r}?" if close else "."
    raise ValueError(
        f"The {name!r} parameter of {owner} must be one of {', '.join(allowed)}. "
        f"Got {value!r}{hint}"
    )


def check_number(
    owner: str,
    name: str,
    value: object,
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    integer: bool = False,
) -> None:
    """Check that a parameter is a finite number (an integer if asked) within closed bounds.

    Raises:
        ValueError: If ``value`` is not such a number.
    """
    kind = numbers.Integral if integer else numbers.Real
    if not isinstance(value, bool) and isinstance(value, kind):
        number = float(value)
        if math.isfinite(number) and minimum <= number <= maximum:
            return
    noun = "an integer" if integer else "a number"
    raise ValueError(
        f"The {name!r} parameter of {owner} must be {noun} in [{minimum:g}, {maximum:g}]. "
        f"Got {value!r}."
    )


def check_flag(owner: str, name: str, value: object) -> None:
    """Check that a parameter is True or False.

    Raises:
        ValueError: If ``value`` is neither.
    """
    if not isinstance(value, bool):
        raise ValueError(f"The {name!r} parameter of {owner} must be True or False. Got {value!r}.")
