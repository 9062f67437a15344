# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Source and current statistics mixed by their distance, or absorbed by scale and shift."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from grata_monai.functional.adaptive_mixing import (
    adaptive_source_share,
    instance_statistics,
    rectified_affine,
)
from grata_monai.functional.bn_statistics import Statistics, batch_statistics, mix, normalize
from grata_monai.state.bn_policies import StatisticsPolicy, source_statistics


class AdaptiveMixing(StatisticsPolicy):
    """AdaMixBN, and its statistics transformation.

    All variances of the current input are unbiased. The share of the source has no gradient.

    With ``rectify`` layers normalize with the current input alone, and what mixing would have
    changed is added to scale and shift as a constant: ``γ + (γ' - γ)``. Its gradient for γ is
    that for γ'; γ itself, and with it the update, stays free of the image's rectification, so
    that one image's cannot pile up on another's. The constants of an image are taken inside
    ``with policy.capturing():`` and hold until the next, or ``forget()``; without any, layers take
    them from what they see.

    Args:
        rectify: Whether to transform; False normalizes with the mixture directly.
    """

    def __init__(self, *, rectify: bool = True) -> None:
        self.rectify = rectify
        self._offsets: dict[str, tuple[Tensor, Tensor]] = {}
        self._capturing = False

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Take the constants from what layers see in a block; if it raises there are none."""
        self.forget()
        self._capturing = True
        try:
            yield
        except BaseException:
            self.forget()
            raise
        finally:
            self._capturing = False

    def forget(self) -> None:
        """Drop the constants."""
        self._offsets = {}

    def reset(self) -> None:
        """Drop the constants."""
        self.forget()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Drop the constants, which belong to one image and are no memory."""
        self.forget()

    def normalize(self, name: str, layer: _BatchNorm, activations: Tensor) -> Tensor:
        """See base class."""
        if activations[0, 0].numel() < 2:
            raise ValueError(
                f"Layer {name!r} sees one value per image and channel (activations of shape "
                f"{tuple(activations.shape)}), which has no variance; use larger images."
            )
        current = batch_statistics(activations, unbiased=True)
        if not self.rectify:
            share = _source_share(layer, activations, current)
            mixed = mix(source_statistics(layer), current, share)
            return normalize(activations, mixed, layer.weight, layer.bias, layer.eps)
        offsets = self._offsets.get(name)
        if offsets is None:
            offsets = _offsets(layer, activations, current)
            if self._capturing:
                self._offsets[name] = offsets
        weight, bias = _affine(layer, current)
        return normalize(activations, current, weight + offsets[0], bias + offsets[1], layer.eps)


@torch.no_grad()
def _source_share(layer: _BatchNorm, activations: Tensor, current: Statistics) -> Tensor:
    source = source_statistics(layer)
    return adaptive_source_share(source, current, instance_statistics(activations))


@torch.no_grad()
def _offsets(layer: _BatchNorm, activations: Tensor, current: Statistics) -> tuple[Tensor, Tensor]:
    weight, bias = _affine(layer, current)
    rectified = rectified_affine(
        weight,
        bias,
        source=source_statistics(layer),
        current=current,
        source_share=_source_share(layer, activations, current),
        epsilon=layer.eps,
    )
    return rectified[0] - weight, rectified[1] - bias


def _affine(layer: _BatchNorm, current: Statistics) -> tuple[Tensor, Tensor]:
    """Return scale and shift, also of a layer that has none."""
    if layer.affine:
        return layer.weight, layer.bias
    return torch.ones_like(current.mean), torch.zeros_like(current.mean)
