# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""End a bundle run that a user got wrong with one line and an exit code, not with a traceback."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from grata_monai._messages import one_line

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
PREFIX = "Error: "
_LOST_READER = re.compile(r"DataLoader worker .*(killed by signal|exited unexpectedly)")
_USER_ERROR_LINE = r"^(?:ValueError|TypeError|OSError|FileNotFoundError): (.+)$"


def exits_on_user_error(
    function: Callable[_Parameters, _Result],
) -> Callable[_Parameters, _Result]:
    """Let a function that a bundle's config calls raise SystemExit instead of a user's error.

    MONAI wraps every ``Exception`` of a config expression in RuntimeErrors and shows all their
    tracebacks. ``SystemExit`` passes: ``python -m monai.bundle run`` prints its message to
    standard error and exits with code 1.

    Args:
        function: Called by a config; its ValueError, TypeError and OSError (a missing file, a
            full disk) are a user's to cure.
    """

    @functools.wraps(function)
    def guarded(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            cause = user_error(error)
            if cause is None:
                raise
            raise SystemExit(PREFIX + one_line(cause)) from error

    return guarded


def user_error(error: BaseException) -> Exception | None:
    """Return the user's error that an exception is or, as MONAI and torch do, wraps; None if none.

    MONAI's transforms chain it; a DataLoader's worker process only sends the text of its traceback.
    One that was killed is a ConnectionError: no image's fault.

    Args:
        error: What was raised.
    """
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, RuntimeError) and _LOST_READER.search(str(error)):
        return ConnectionError(
            "A process that reads images was killed, perhaps for lack of memory. Use fewer of them "
            "(--num_workers), then go on with --resume."
        )
    if isinstance(error, RuntimeError) and "in DataLoader worker process" in str(error):
        lines = re.findall(_USER_ERROR_LINE, str(error), flags=re.MULTILINE)
        return ValueError(lines[-1]) if lines else None
    return error if isinstance(error, (ValueError, TypeError, OSError)) else None
