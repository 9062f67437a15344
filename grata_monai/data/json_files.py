# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Parse JSON that may be of anybody."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str) -> Any:
    """Return what a JSON text says.

    Raises:
        ValueError: If it is no JSON, or nested so deeply that Python's parser gives up.

    Example:
        >>> parse_json("[" * 100_000)
        Traceback (most recent call last):
        ...
        ValueError: it is nested too deeply
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
