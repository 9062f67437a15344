# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Keep a training, which seeds the global random numbers, from changing them for others."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from monai.utils.misc import get_seed, set_determinism


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Put back, on leaving, the random states of Python, NumPy, PyTorch and MONAI."""
    seed, python, numpy_state = get_seed(), random.getstate(), np.random.get_state()
    backend = torch.backends.cudnn
    flags = backend.deterministic, backend.benchmark
    has_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count() if has_cuda else 0)
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            set_determinism(seed)
            random.setstate(python)
            np.random.set_state(numpy_state)
            backend.deterministic, backend.benchmark = flags
