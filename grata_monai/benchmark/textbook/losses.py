# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Losses that several methods share."""

from __future__ import annotations

import torch
from torch import Tensor


def entropy(logits: Tensor) -> Tensor:
    r"""Return GraTa's entropy :math:`-p \ln(p + 10^{-6})`, summed over channels, else averaged."""
    p = torch.sigmoid(logits)
    return (-p * torch.log(p + 1e-6)).sum(dim=1).mean()


def binary_entropy(p: Tensor) -> Tensor:
    r"""Return :math:`-p \ln p - (1 - p) \ln(1 - p)` of each element; finite at 0 and 1."""
    margin = torch.finfo(p.dtype).eps
    p = p.clamp(margin, 1 - margin)
    return -p * torch.log(p) - (1 - p) * torch.log(1 - p)
