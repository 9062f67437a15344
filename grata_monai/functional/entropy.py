# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Entropy of sigmoid outputs, element by element, as published and in its stable full form."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

PAPER_EPSILON = 1e-6


def one_sided_entropy(logits: Tensor, epsilon: float = PAPER_EPSILON) -> Tensor:
    r"""Return :math:`-p \ln(p + \epsilon)` with :math:`p = \sigma(z)`, the entropy GraTa minimizes.

    It has no :math:`(1-p)` term: it is largest at p = 1/e, so minimizing it pushes every pixel
    with p > 0.368 towards the foreground (paper Eq. 1; the constant is the authors' code's).

    Args:
        logits: Any shape.
        epsilon: Added inside the logarithm.

    Example:
        >>> one_sided_entropy(torch.tensor([0.0, 4.0]))
        tensor([0.3466, 0.0178])
    """
    probabilities = torch.sigmoid(logits)
    return -probabilities * torch.log(probabilities + epsilon)


def binary_entropy(logits: Tensor) -> Tensor:
    r"""Return :math:`-p \ln p - (1-p) \ln(1-p)` in nats, computed as softplus(z) - z p.

    Finite for every finite logit, largest (ln 2) at p = 1/2.

    Args:
        logits: Any shape.

    Example:
        >>> binary_entropy(torch.tensor([0.0, -4.0]))
        tensor([0.6931, 0.0901])
    """
    return softplus(logits) - logits * torch.sigmoid(logits)
