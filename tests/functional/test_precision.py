# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Sums, entropies and statistics of half-precise values against those in double precision."""

from __future__ import annotations

import pytest
import torch

from grata_monai.functional import (
    batch_statistics,
    binary_entropy,
    instance_statistics,
    masked_prototypes,
    median_statistics,
    one_sided_entropy,
    symmetric_kl,
)
from grata_monai.functional.precision import at_least_single

HALF = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", HALF)
def test_half_becomes_single_and_the_rest_stays(dtype):
    assert at_least_single(torch.ones(2, dtype=dtype)).dtype is torch.float32
    for values in (torch.ones(2), torch.ones(2).double()):
        assert at_least_single(values) is values


@pytest.mark.parametrize("dtype", HALF)
def test_entropies_keep_what_a_half_precise_difference_would_lose(dtype):
    logits = torch.tensor([-9.0, -4.0, 4.0, 5.5, 9.0], dtype=dtype)
    p = torch.sigmoid(logits.double())
    binary = -p * p.log() - (1 - p) * (1 - p).log()
    torch.testing.assert_close(binary_entropy(logits).double(), binary, rtol=1e-2, atol=1e-6)
    one_sided = -p * (p + 1e-6).log()
    torch.testing.assert_close(one_sided_entropy(logits).double(), one_sided, rtol=1e-3, atol=1e-6)
    q = p.flip(0)
    divergence = q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()
    divergence = divergence + divergence.flip(0)  # KL(q, p) + KL(p, q)
    found = symmetric_kl(logits.flip(0), logits).double()
    torch.testing.assert_close(found, divergence, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", HALF)
def test_statistics_far_from_zero(dtype, generator):
    values = (100.0 + 10.0 * torch.randn(2, 3, 16, 16, generator=generator)).to(dtype)
    exact = values.double()
    flat = exact.transpose(0, 1).flatten(1)
    for found, mean, variance in (
        (batch_statistics(values), flat.mean(1), flat.var(1, correction=0)),
        (instance_statistics(values), exact.mean((2, 3)), exact.var((2, 3))),
        (
            median_statistics(values),
            flat.median(1).values,
            (flat - flat.median(1, keepdim=True).values).square().mean(1),
        ),
    ):
        torch.testing.assert_close(found.mean.double(), mean, rtol=1e-5, atol=0)
        torch.testing.assert_close(found.variance.double(), variance, rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", HALF)
def test_prototypes_of_many_pixels_under_mixed_precision(dtype):
    features = torch.full((1, 2, 300, 300), 1.001)  # 90 000 of them: beyond float16
    masks = torch.ones(1, 1, 300, 300, dtype=torch.bool)
    with torch.autocast("cpu", dtype=dtype):
        found = masked_prototypes(features, masks)
    torch.testing.assert_close(found.means, torch.full((1, 2), 1.001), rtol=1e-5, atol=0)
