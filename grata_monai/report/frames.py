# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of data frames as plain dictionaries."""

from __future__ import annotations

from typing import Any

import pandas as pd


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table, each with its columns' names.

    Example:
        >>> records(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
        [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'y'}]
    """
    return [
        {str(name): value for name, value in row.items()} for row in table.to_dict(orient="records")
    ]
