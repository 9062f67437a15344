# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Generalized entropy and symmetric divergence against their definitions and known values."""

from __future__ import annotations

import math

import pytest
import torch

from grata_monai.functional import generalized_entropy, spread_temperature, symmetric_kl

LOGITS = torch.tensor([[1.0, -0.5, 3.0], [0.2, 0.1, -4.0]], dtype=torch.float64)


def test_symmetric_kl_is_that_of_bernoulli_variables():
    first, second = LOGITS, LOGITS.flip(0)
    q, p = (torch.distributions.Bernoulli(logits=z) for z in (first, second))
    kl = torch.distributions.kl_divergence
    torch.testing.assert_close(symmetric_kl(first, second), kl(q, p) + kl(p, q))
    assert torch.equal(symmetric_kl(first, first), torch.zeros_like(first))
    assert torch.isfinite(symmetric_kl(torch.tensor([1e4]), torch.tensor([-1e4]))).all()


@pytest.mark.parametrize("kind", ["gem_t", "gem_skd"])
def test_generalized_entropy_written_out(kind):
    temperature = spread_temperature(LOGITS, (1,))
    found = generalized_entropy(LOGITS, temperature, kind=kind)
    for row, value in zip(LOGITS.tolist(), found.tolist(), strict=True):
        mean = sum(row) / 3
        centered = [z - mean for z in row]
        t = 2 * math.sqrt(sum(z * z for z in centered) / 2)
        p = [math.exp(z / t) for z in centered]
        p = [value / sum(p) for value in p]
        q = [math.exp(z) for z in centered]
        q = p if kind == "gem_t" else [value / sum(q) for value in q]
        expected = -sum(a * math.log(b) for a, b in zip(q, p, strict=True)) * t * t
        assert value == pytest.approx(expected)


def test_two_classes_are_only_inflated():
    """p = σ(±1/√2) at every pixel, and the slope is -0.2212 z, as published values say."""
    z = torch.tensor([-3.0, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    pairs = torch.stack([z, torch.zeros_like(z)], dim=1)
    temperature = spread_temperature(pairs, (1,))
    p = torch.softmax(pairs.detach() / temperature, dim=1)
    torch.testing.assert_close(p.max(1).values, torch.full((3,), 0.670).double(), atol=5e-4, rtol=0)
    (slope,) = torch.autograd.grad(generalized_entropy(pairs, temperature).sum(), z)
    torch.testing.assert_close(slope / z.detach(), torch.full_like(z, -0.2212), atol=5e-5, rtol=0)


def test_gradients_are_right_with_the_temperature_held():
    temperature = spread_temperature(LOGITS, (1,))
    logits = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: generalized_entropy(z, temperature), logits)
    assert not spread_temperature(logits, (1,)).requires_grad


def test_distillation_has_no_gradient_through_its_first_factor():
    """d/dz of -T² Σ q ln softmax(z/T) with q held is T (p - q)."""
    logits = LOGITS.clone().requires_grad_()
    temperature = spread_temperature(LOGITS, (1,))
    loss = generalized_entropy(logits, temperature, kind="gem_skd").sum()
    (slope,) = torch.autograd.grad(loss, logits)
    q, p = torch.softmax(LOGITS, 1), torch.softmax(LOGITS / temperature, 1)
    torch.testing.assert_close(slope, temperature * (p - q))


@pytest.mark.parametrize("kind", ["gem_t", "gem_skd"])
def test_equal_logits_are_no_trouble(kind):
    logits = torch.zeros(2, 3, requires_grad=True)
    loss = generalized_entropy(logits, spread_temperature(logits, (1,)), kind=kind).sum()
    (slope,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(0.0, abs=1e-9)
    assert torch.isfinite(slope).all()
