# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How unlike the source's an image's structures are, whatever its colors and contrast."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai.state.bn_policies import StatisticsPolicy, source_statistics
from grata_monai.state.policy_handle import apply_policy, bn_layers
from grata_monai.state.snapshot import evaluating

_FEWEST_POSITIONS = 64  # of fewer values a variance says little
_FEWEST_CHANNELS = 16
_MOST_SHAPES = 16
_NoiseKey = tuple[tuple[int, ...], tuple[float, ...]]

_noise_distances: WeakKeyDictionary[nn.Module, dict[_NoiseKey, float | None]] = WeakKeyDictionary()


@torch.no_grad()
def spread_distance(network: nn.Module, image: Tensor) -> float | None:
    r"""Return how unlike the source's the spreads of an image's activations are.

    The image goes through the network under its own statistics, which takes brightness, contrast
    and colors out from layer to layer. What is left is which filters answer strongly to it and
    which weakly. With v the variance of a channel's activations and :math:`v^s` the source's,

    .. math::
        d = \mathrm{mean}_l\, \mathrm{median}_c \left| r_{lc} - \mathrm{median}_{c'}\, r_{lc'}
        \right|, \qquad r_{lc} = \ln \frac{v_{lc} + \epsilon}{v^s_{lc} + \epsilon}

    over the layers l with 16 channels and 64 positions at least. Costs one forward pass; leaves
    nothing behind in the network.

    Args:
        network: The source network.
        image: 1xCx*spatial.

    Returns:
        The distance, or None if there is no layer that can be compared, because it keeps no
        running statistics or has never seen an image.
    """
    if not any(_can_compare(layer) for _, layer in bn_layers(network)):
        return None
    policy = _MeasuredSpreads()
    with evaluating(network):
        handle = apply_policy(network, policy)
        try:
            network(image)
        finally:
            handle.remove()
    return float(torch.stack(policy.distances).mean()) if policy.distances else None


def noise_spread_distance(network: nn.Module, image: Tensor) -> float | None:
    """Return the distance of uniform noise of an image's shape; it is remembered.

    Args:
        network: As for ``spread_distance``.
        image: 1xCx*spatial.
    """
    known = _noise_distances.setdefault(network, {})
    key = (tuple(image.shape), _fingerprint(network))
    if key not in known:
        if len(known) >= _MOST_SHAPES:
            known.clear()
        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(image.shape, generator=generator).to(image)
        known[key] = spread_distance(network, noise)
    return known[key]


class _MeasuredSpreads(StatisticsPolicy):
    """The image's own statistics, compared with the source's on the way."""

    needs_source = False

    def __init__(self) -> None:
        self.distances: list[Tensor] = []

    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """See base class."""
        values = activations.flatten(2).float()
        positions = values.shape[2]
        if positions >= _FEWEST_POSITIONS and _can_compare(layer):
            variance = values.var(dim=2, unbiased=False)[0]
            source = source_statistics(layer).variance.float()
            ratios = ((variance + layer.eps) / (source + layer.eps)).log()
            self.distances.append((ratios - ratios.median()).abs().median().cpu())
        own = positions > 1 or layer.running_mean is None
        return F.batch_norm(
            activations,
            None if own else layer.running_mean,
            None if own else layer.running_var,
            layer.weight,
            layer.bias,
            own,
            0.0,
            layer.eps,
        )


def _can_compare(layer: _BatchNorm) -> bool:
    """Whether a layer has running statistics, and not those of its construction."""
    mean, variance = layer.running_mean, layer.running_var
    if mean is None or variance is None or layer.num_features < _FEWEST_CHANNELS:
        return False
    return bool((mean != 0).any() or (variance != 1).any())


def _fingerprint(network: nn.Module) -> tuple[float, ...]:
    """Return numbers that tell one source in a network from another."""
    known = [layer for _, layer in bn_layers(network) if layer.running_var is not None]
    sums = [source_statistics(layer).variance.double().sum() for layer in known]
    return tuple(torch.stack(sums).cpu().tolist()) if sums else ()
