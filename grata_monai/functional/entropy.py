# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Entropy of sigmoid outputs, as published and in its stable full form, and its relatives."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from grata_monai.functional.precision import at_least_single

PAPER_EPSILON = 1e-6
SMALLEST_TEMPERATURE = 1e-6
GeneralizedEntropyKind = Literal["gem_t", "gem_skd"]


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
    probabilities = torch.sigmoid(at_least_single(logits))
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
    exact = at_least_single(logits)
    return softplus(exact) - exact * torch.sigmoid(exact)


def symmetric_kl(first: Tensor, second: Tensor) -> Tensor:
    r"""Return :math:`KL(q \| p) + KL(p \| q)` of Bernoulli variables, from their logits.

    With q = σ(a) and p = σ(b) it is :math:`J = (q - p)(a - b)`: never negative, 0 only where the
    logits agree, and free of logarithms.

    Args:
        first: Logits a, any shape.
        second: Logits b, same shape.

    Example:
        >>> symmetric_kl(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 2.0]))
        tensor([0.2311, 0.0000])
    """
    first, second = at_least_single(first), at_least_single(second)
    return (torch.sigmoid(first) - torch.sigmoid(second)) * (first - second)


def spread_temperature(values: Tensor, dims: tuple[int, ...]) -> Tensor:
    r"""Return :math:`T = 2\, \mathrm{std}` (unbiased, without gradient), at least 1e-6.

    Args:
        values: Logits.
        dims: Dimensions to take the standard deviation over; they stay, with size 1.
    """
    return (2.0 * values.detach().std(dim=dims, keepdim=True)).clamp_min(SMALLEST_TEMPERATURE)


def generalized_entropy(
    logits: Tensor, temperature: Tensor, *, kind: GeneralizedEntropyKind = "gem_t", dim: int = 1
) -> Tensor:
    r"""Return DomainAdaptor's entropy at a temperature.

    .. math::
        L = -T^2 \sum_c q_c \ln p_c, \qquad p = \mathrm{softmax}(z / T), \qquad
        q = p \text{ (GEM-T)} \text{ or } \mathrm{softmax}(z) \text{ without gradient (GEM-SKD)}

    The authors subtract the mean of z over the classes first, which changes neither p nor q.

    With two classes (z, 0), T from their spread and GEM-T, p is the same for every z and the slope
    is -0.2212 z: it only inflates the logits. Use three classes, or a spread over pixels.

    Args:
        logits: z, with the classes in dimension ``dim``, which is summed over.
        temperature: T > 0, broadcastable to the logits, usually by ``spread_temperature``.
        kind: ``"gem_t"`` or ``"gem_skd"``.
        dim: Dimension of the classes.

    Reference:
        J. Zhang et al., "DomainAdaptor: A Novel Approach to Test-time Adaptation", ICCV 2023.
    """
    log_p = torch.log_softmax(logits / temperature, dim=dim)
    weights = log_p.exp() if kind == "gem_t" else torch.softmax(logits.detach(), dim=dim)
    return -(weights * log_p * temperature.square()).sum(dim=dim)
