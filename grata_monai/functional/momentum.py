# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DUA's schedule: how much each further image still moves the running statistics."""

from __future__ import annotations


def decayed_momentum(
    step: int,
    *,
    initial: float = 0.1,
    omega: float = 0.94,
    delta: float = 0.005,
    recursive: bool = False,
) -> float:
    r"""Return the momentum of one step of a decaying schedule with a floor.

    .. math::
        \rho_t = m_t + \delta, \quad m_t = \omega\, m_{t-1} \qquad \text{or, recursive,} \qquad
        \rho_t = \omega\, \rho_{t-1} + \delta

    with :math:`m_0 = \rho_0` = initial; in closed form, so that no state is needed. The first
    tends to δ, the second to δ / (1 - ω), which is many times more. Never more than 1.

    Args:
        step: t, 1 for the first image.
        initial: In [0, 1]; 0.1, torch's own momentum.
        omega: Decay ω in [0, 1].
        delta: Floor δ in [0, 1].
        recursive: Whether δ is fed back.

    Example:
        >>> [round(decayed_momentum(step), 4) for step in (1, 5, 10, 20)]
        [0.099, 0.0784, 0.0589, 0.034]
    """
    decay = omega**step
    if not recursive:
        floor = delta
    elif omega == 1.0:
        floor = delta * step
    else:
        floor = delta * (1.0 - decay) / (1.0 - omega)
    return min(1.0, initial * decay + floor)
