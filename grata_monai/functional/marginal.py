# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Entropy of probabilities that come from no single logit, such as means over views."""

from __future__ import annotations

import torch
from torch import Tensor


def bernoulli_entropy(probabilities: Tensor) -> Tensor:
    r"""Return :math:`-p \ln p - (1-p) \ln(1-p)` in nats, element by element.

    At 0 and 1, where the derivative is infinite, the value is all but 0 and the gradient 0.

    Args:
        probabilities: Any shape, in [0, 1].

    Example:
        >>> bernoulli_entropy(torch.tensor([0.5, 0.25]))
        tensor([0.6931, 0.5623])
    """
    margin = torch.finfo(probabilities.dtype).eps
    p = probabilities.clamp(margin, 1.0 - margin)
    return -p * torch.log(p) - (1.0 - p) * torch.log1p(-p)
