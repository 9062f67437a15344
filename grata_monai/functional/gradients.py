# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Inner product, norm and cosine over lists of gradients, as if they were one long vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

PAPER_EPSILON = 1e-12


def compute_gradients(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradient of a scalar for each parameter, leaving every ``.grad`` field alone.

    A parameter that the loss does not reach gets zeros: old and new versions of torch differ in
    this, and norms taken over "those that have one" are not comparable between losses.

    Args:
        loss: A scalar with a graph.
        parameters: Leaves to differentiate by.
    """
    if not loss.requires_grad:
        return [torch.zeros_like(parameter) for parameter in parameters]
    gradients: Sequence[Tensor | None]
    gradients = torch.autograd.grad(loss, list(parameters), allow_unused=True)
    # Copies: networks replayed by CUDA graphs use the memory of their gradients again.
    gradients = [g.clone() if g is not None and g.is_cuda else g for g in gradients]
    return [
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, gradients, strict=True)
    ]


def flatten(gradients: Sequence[Tensor]) -> Tensor:
    """Return all gradients as one vector."""
    return torch.cat([gradient.flatten() for gradient in gradients])


def gradient_norm(gradients: Sequence[Tensor]) -> float:
    """Return the Euclidean norm over all gradients."""
    return float(flatten(gradients).double().norm())


def cosine_similarity(
    first: Sequence[Tensor], second: Sequence[Tensor], epsilon: float = PAPER_EPSILON
) -> float:
    r"""Return :math:`\langle a, b \rangle / (\|a\| \|b\| + \epsilon)`, in [-1, 1] (paper Eq. 7).

    If either is zero the cosine is 0.

    Example:
        >>> a, b = [torch.tensor([3.0]), torch.tensor([4.0])], [torch.tensor([4.0, 3.0])]
        >>> round(cosine_similarity(a, b), 6)
        0.96
    """
    a, b = flatten(first).double(), flatten(second).double()
    cosine = float(a @ b) / (float(a.norm()) * float(b.norm()) + epsilon)
    return max(-1.0, min(1.0, cosine))
