# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Batch normalization with the input's own statistics, exact in every memory layout."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_ROWS = 1024
"""Values that torch's kernel adds one after the other, at most (where sizes are powers of two)."""


def batch_normalize(
    activations: Tensor, weight: Tensor | None, bias: Tensor | None, epsilon: float
) -> Tensor:
    r"""Return :math:`\gamma (a - \mu) / \sqrt{v + \epsilon} + \beta` with the batch's μ and v.

    As ``torch.nn.functional.batch_norm`` in training mode without running statistics, v biased,
    to some 1e-6. That function's CPU kernel for channels-last tensors, the fastest layout there,
    adds all values of a channel one after the other in single precision, which costs two to three
    digits at 512 px; here they are added in groups, at nearly the same speed.

    Args:
        activations: BxCx*spatial, at least two values per channel.
        weight: γ of shape C, or None for 1.
        bias: β of shape C, or None for 0.
        epsilon: ε > 0.
    """
    if _needs_groups(activations) and not torch.compiler.is_compiling():
        normalized: Tensor = _GroupedBatchNorm.apply(  # type: ignore[no-untyped-call]
            activations, weight, bias, epsilon
        )
        return normalized
    return F.batch_norm(activations, None, None, weight, bias, True, 0.0, epsilon)


def batch_mean_and_variance(activations: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance of each channel, differentiably.

    As ``torch.var_mean``, which takes ten times as long on the CPU.

    Args:
        activations: BxCx*spatial in single or double precision.
    """
    if torch.compiler.is_compiling() or activations.device.type not in ("cpu", "cuda"):
        dims = [0, *range(2, activations.ndim)]
        variance, mean = torch.var_mean(activations, dim=dims, correction=0)
        return mean, variance
    statistics: tuple[Tensor, Tensor] = _MeanAndVariance.apply(activations)  # type: ignore[no-untyped-call]
    return statistics


def batch_normalize_groups(
    activations: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    epsilon: float,
    *,
    size: int,
) -> Tensor:
    """Return the same with each ``size`` consecutive samples as a batch of their own.

    Args:
        activations: BxCx*spatial, B a multiple of ``size``.
        weight: γ of shape C, or GxC with a row for each of the G groups, or None for 1.
        bias: β of the same shapes, or None for 0.
        epsilon: ε > 0.
        size: Samples of a group, at least 1.

    Raises:
        ValueError: If ``size`` does not divide the batch.
    """
    count, rest = divmod(len(activations), size) if size > 0 else (0, 1)
    if rest:
        raise ValueError(f"Groups of {size} do not divide a batch of {len(activations)} samples.")
    weights, biases = _rows(weight, count), _rows(bias, count)
    if size == 1 and activations.is_contiguous():
        # One sample with the channels of all: each channel has its own statistics anyway.
        single = activations.flatten(0, 1)[None]
        weight, bias = (None if rows is None else rows.flatten() for rows in (weights, biases))
        return batch_normalize(single, weight, bias, epsilon).view_as(activations)
    parts = [
        batch_normalize(
            part,
            None if weights is None else weights[index],
            None if biases is None else biases[index],
            epsilon,
        )
        for index, part in enumerate(torch.split(activations, size))
    ]
    return parts[0] if count == 1 else torch.cat(parts)


def _rows(values: Tensor | None, count: int) -> Tensor | None:
    """Return values of shape C or GxC as GxC."""
    return values if values is None or values.ndim == 2 else values.expand(count, -1)


def _needs_groups(activations: Tensor) -> bool:
    """Whether torch would sum this tensor's channels without care.

    Half precision is summed in single precision there, far below its own rounding.
    """
    if activations.device.type != "cpu" or activations.dtype != torch.float32:
        return False
    layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(activations.ndim)
    return (
        layout is not None
        and activations.numel() > _ROWS * activations.shape[1]
        and activations.is_contiguous(memory_format=layout)
        and not activations.is_contiguous()
    )


class _GroupedBatchNorm(torch.autograd.Function):
    """Forward with statistics summed in groups; backward by torch's own kernel."""

    @staticmethod
    def forward(
        ctx: Any,
        activations: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        epsilon: float,
    ) -> Tensor:
        mean, variance = _statistics(activations)
        ctx.save_for_backward(activations, weight, mean, variance)
        ctx.epsilon = epsilon
        return F.batch_norm(activations, mean, variance, weight, bias, False, 0.0, epsilon)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        activations, weight, mean, variance = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        deviation = torch.rsqrt(variance + ctx.epsilon)
        gradients = torch.ops.aten.native_batch_norm_backward(
            gradient, activations, weight, None, None, mean, deviation, True, ctx.epsilon, needed
        )
        return *(g if wanted else None for g, wanted in zip(gradients, needed, strict=True)), None


class _MeanAndVariance(torch.autograd.Function):
    """Statistics of each channel; their gradient is a scale and a shift of the activations."""

    @staticmethod
    def forward(ctx: Any, activations: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = _statistics(activations)
        ctx.save_for_backward(activations, mean)
        return mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_mean: Tensor, by_variance: Tensor) -> Tensor:
        activations, mean = ctx.saved_tensors
        shape = (1, -1) + (1,) * (activations.ndim - 2)
        count = activations.numel() / activations.shape[1]
        scale = 2.0 * by_variance / count
        shift = by_mean / count - scale * mean
        return torch.addcmul(shift.view(shape), activations, scale.view(shape))


def _statistics(activations: Tensor) -> tuple[Tensor, Tensor]:
    if _needs_groups(activations):
        return _grouped_statistics(activations)
    mean, variance = torch.batch_norm_update_stats(activations, None, None, 0.0)
    return mean, variance


def _grouped_statistics(activations: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance of each channel of a channels-last tensor.

    Its memory is a matrix of positions times channels. Read as fewer, longer rows it has several
    times as many channels, whose statistics torch computes fast and, with few rows, well.
    """
    channels = activations.shape[1]
    positions = activations.movedim(1, -1).reshape(-1, channels)
    rows, groups = len(positions), 1
    while rows > _ROWS and rows % 2 == 0:
        rows, groups = rows // 2, groups * 2
    grouped = positions.view(rows, groups * channels)
    means, variances = (
        statistic.view(groups, channels)
        for statistic in torch.batch_norm_update_stats(grouped, None, None, 0.0)
    )
    mean = means.mean(dim=0)
    return mean, (variances + (means - mean).square()).mean(dim=0)
