# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers that are to be summed, averaged or compared with care in half precision, too."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_single(values: Tensor) -> Tensor:
    """Return values in float32 if they are float16 or bfloat16, else the values themselves.

    Under automatic mixed precision a network's logits and activations are half precise. Sums over
    views, entropies and statistics of them need more digits than they have.

    Example:
        >>> at_least_single(torch.ones(1, dtype=torch.bfloat16)).dtype
        torch.float32
        >>> at_least_single(torch.ones(1, dtype=torch.float64)).dtype
        torch.float64
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))
