# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The state of the process's heap while something is timed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from grata_monai.execution import kept_memory

_MIB = 2**20
_PAGE = 4096


@contextmanager
def kept_heap(filled_mib: float = 0.0) -> Iterator[None]:
    """Run a block with freed memory kept, on a heap of the size it has in the midst of a stream.

    After the block all is given back, so that what is timed next does not find it.

    Args:
        filled_mib: What earlier images needed at most, in MiB.
    """
    with kept_memory():
        if filled_mib > 0:
            pages = torch.empty(int(filled_mib * _MIB), dtype=torch.uint8)
            pages[::_PAGE].fill_(0)  # the system gives a page when it is written to
            del pages
        yield
