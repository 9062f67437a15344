# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Let the process keep the memory that tensors free, for the tensors of the next pass.

Activations of a 512 px image take up to 67 MB each. glibc gives blocks of that size back to the
system at once, which hands out empty pages again, one by one, in the next pass: on two cores that
was a quarter of GraTa's whole time. Keeping them changes no number.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of malloc.h
_NEVER = 2**31 - 1
# Where glibc's own rule arrives after the first large block is freed, and how many it maps.
_LARGEST_THRESHOLD, _MOST_MAPPED = 2**25, 65536


def keep_freed_memory(keep: bool = True) -> bool:
    """Keep freed memory in this process from now on, or give it back again.

    The process then holds on to the most it ever needed at once, and a little more where a block
    does not fit into a gap: later images of that size need nothing new. For all threads and
    libraries of the process; a setting of glibc, so nothing happens on other systems.

    Args:
        keep: False goes back to glibc's usual behavior and returns what is free now.

    Returns:
        Whether the system could do it.
    """
    library = _glibc()
    if library is None:
        return False
    if keep:
        # Memory from the heap alone, whose end is never cut off.
        done = library.mallopt(_MMAP_MAX, 0) and library.mallopt(_TRIM_THRESHOLD, _NEVER)
        return bool(done)
    done = (
        library.mallopt(_MMAP_MAX, _MOST_MAPPED)
        and library.mallopt(_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
        and library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_THRESHOLD)
    )
    library.malloc_trim(0)
    return bool(done)


@contextmanager
def kept_memory(keep: bool = True) -> Iterator[None]:
    """Run a block with freed memory kept (or not), then give it back."""
    keep_freed_memory(keep)
    try:
        yield
    finally:
        keep_freed_memory(False)


@cache
def _glibc() -> ctypes.CDLL | None:
    """Return the C library of the process if it is glibc."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    wanted = ("gnu_get_libc_version", "mallopt", "malloc_trim")
    return library if all(hasattr(library, name) for name in wanted) else None
