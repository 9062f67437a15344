# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Bring together what the processes of a distributed run have found."""

from __future__ import annotations

from typing import TypeVar

from torch import distributed

_Item = TypeVar("_Item")


def gathered(items: list[_Item]) -> list[_Item]:
    """Return the items of all processes, in the order of their ranks; alone, the same items.

    In a distributed run every process has to call it.

    Args:
        items: What this process has; anything that can be pickled.

    Raises:
        ConnectionError: If another process has ended instead, or does not answer in time.
    """
    if not is_distributed():
        return items
    parts: list[list[_Item]] = [[] for _ in range(distributed.get_world_size())]
    try:
        distributed.all_gather_object(parts, items)
    except RuntimeError as error:  # how gloo and nccl say that nobody answers
        raise ConnectionError(
            "Another process of this run has failed or does not answer; its own message says why "
            f"({str(error).splitlines()[0][:200]})."
        ) from error
    return [item for part in parts for item in part]


def is_distributed() -> bool:
    """Tell whether this process is one of several that work together."""
    there = distributed.is_available() and distributed.is_initialized()
    return there and distributed.get_world_size() > 1


def is_first() -> bool:
    """Tell whether this process is the one that writes what all have found, as one alone is."""
    return not is_distributed() or distributed.get_rank() == 0
