# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Mappings from the cosine of two gradients to a factor of the base learning rate (Table 4)."""

from __future__ import annotations

import math
from collections.abc import Callable


def quadratic(cosine: float) -> float:
    r"""Return :math:`\tfrac14 (c + 1)^2`, GraTa's own (paper Eq. 8): -1 → 0, 0 → ¼, 1 → 1."""
    return 0.25 * (cosine + 1.0) ** 2


def linear(cosine: float) -> float:
    r"""Return :math:`\tfrac12 (c + 1)`: -1 → 0, 0 → ½, 1 → 1."""
    return 0.5 * (cosine + 1.0)


def sigmoid(cosine: float) -> float:
    r"""Return :math:`1 / (1 + e^{-c})`: -1 → 0.269, 0 → ½, 1 → 0.731."""
    return 1.0 / (1.0 + math.exp(-cosine))


def relu(cosine: float) -> float:
    r"""Return :math:`\max(0, c)`: conflicting gradients give no step."""
    return max(0.0, cosine)


def softplus(cosine: float) -> float:
    r"""Return :math:`\ln(1 + e^c)`: -1 → 0.313, 0 → 0.693, 1 → 1.313."""
    return math.log1p(math.exp(cosine))


def constant(cosine: float) -> float:
    """Return 1 whatever the cosine: the fixed learning rate of Table 2's ablations."""
    return 1.0


LR_MAPPINGS: dict[str, Callable[[float], float]] = {
    mapping.__name__: mapping for mapping in (quadratic, linear, sigmoid, relu, softplus, constant)
}
