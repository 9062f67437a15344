# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Batch normalization against double precision, in every layout, of batches and of parts."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from grata_monai.functional.batch_normalization import (
    batch_mean_and_variance,
    batch_normalize,
    batch_normalize_groups,
)

EPSILON = 1e-5
LAYOUTS = {
    (2, 5, 7, 9): [torch.contiguous_format, torch.channels_last],
    (1, 3, 64, 48): [torch.contiguous_format, torch.channels_last],
    (4, 1, 5, 3): [torch.contiguous_format, torch.channels_last],
    (3, 4, 1, 1): [torch.contiguous_format, torch.channels_last],
    (2, 3, 4, 6, 5): [torch.contiguous_format, torch.channels_last_3d],
    (3, 4, 11): [torch.contiguous_format],
    (6, 4): [torch.contiguous_format],
}
CASES = [(shape, layout) for shape, layouts in LAYOUTS.items() for layout in layouts]


def textbook(activations, weight, bias):
    """Return the output by its formula, in the precision of the input."""
    dims = [0, *range(2, activations.ndim)]
    mean = activations.mean(dims, keepdim=True)
    variance = (activations - mean).square().mean(dims, keepdim=True)
    shape = (1, -1) + (1,) * (activations.ndim - 2)
    normalized = (activations - mean) / (variance + EPSILON).sqrt()
    scaled = normalized if weight is None else normalized * weight.view(shape)
    return scaled if bias is None else scaled + bias.view(shape)


def drawn(shape, layout, generator, dtype=torch.float32, rows=None):
    activations = 3.0 + 0.5 * torch.randn(shape, generator=generator, dtype=dtype)
    activations = activations.contiguous(memory_format=layout).requires_grad_()
    size = shape[1:2] if rows is None else (rows, shape[1])
    weight, bias = (torch.randn(size, generator=generator, dtype=dtype) for _ in range(2))
    return activations, weight.requires_grad_(), bias.requires_grad_()


def expect_alike(function, reference, inputs, *, tolerance):
    """Compare outputs and all gradients with those of a reference in double precision."""
    exact = [t if t is None else t.detach().double().requires_grad_() for t in inputs]
    expected, found = reference(*exact), function(*inputs)
    assert found.shape == expected.shape
    assert found.dtype == inputs[0].dtype
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance)
    direction = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).view_as(expected)
    given = [t for t in inputs if t is not None]
    gradients = torch.autograd.grad((found * direction.to(found)).sum(), given)
    references = torch.autograd.grad(
        (expected * direction).sum(), [t for t in exact if t is not None]
    )
    # Those of scale and shift are sums over all positions, of terms that cancel.
    terms = expected.numel() / expected.shape[1]
    for gradient, true in zip(gradients, references, strict=True):
        scale = 1.0 if gradient.shape == expected.shape else max(1.0, 0.05 * terms)
        torch.testing.assert_close(gradient.double(), true, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("affine", ["both", "none", "weight"])
@pytest.mark.parametrize(("shape", "layout"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
def test_output_and_gradients(shape, layout, affine, dtype, tolerance, generator):
    activations, weight, bias = drawn(shape, layout, generator, dtype)
    inputs = [
        activations,
        None if affine == "none" else weight,
        bias if affine == "both" else None,
    ]
    expect_alike(
        lambda a, w, b: batch_normalize(a, w, b, EPSILON), textbook, inputs, tolerance=tolerance
    )


def test_many_positions_are_summed_with_care(generator):
    """Torch's own kernel loses a digit or two here: the control that ours has a reason."""
    draws = 3.0 + 0.1 * torch.randn(1, 8, 256, 256, generator=generator)
    activations = draws.contiguous(memory_format=torch.channels_last)
    exact = textbook(activations.double(), None, None)
    plain = F.batch_norm(activations, None, None, training=True, eps=EPSILON)
    ours = batch_normalize(activations, None, None, EPSILON)
    both = batch_normalize_groups(torch.cat([activations] * 2), None, None, EPSILON, size=1)
    assert (plain.double() - exact).abs().max() > 1e-5
    assert (ours.double() - exact).abs().max() < 1e-5
    assert torch.equal(both, torch.cat([ours] * 2))


def test_frozen_inputs_have_no_gradient(generator):
    activations, weight, _ = drawn((1, 3, 8, 8), torch.channels_last, generator)
    batch_normalize(activations.detach(), weight, None, EPSILON).sum().backward()
    assert activations.grad is None
    assert weight.grad is not None


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("size", [1, 2, 6])
@pytest.mark.parametrize(
    ("shape", "layout"),
    [(shape, layout) for shape, layout in CASES if len(shape) > 2 and shape[-1] > 1],
)
def test_groups_are_batches_of_their_own(shape, layout, size, rows, generator):
    shape, count = (6, *shape[1:]), 6 // size

    def reference(activations, weight, bias):
        parts = activations.split(size)
        weights, biases = (v if rows else v.expand(count, -1) for v in (weight, bias))
        return torch.cat([textbook(*inputs) for inputs in zip(parts, weights, biases, strict=True)])

    inputs = drawn(shape, layout, generator, rows=count if rows else None)
    expect_alike(
        lambda a, w, b: batch_normalize_groups(a, w, b, EPSILON, size=size),
        reference,
        inputs,
        tolerance=2e-5,
    )


def test_groups_must_divide_the_batch():
    with pytest.raises(ValueError, match="Groups of 2 do not divide a batch of 3"):
        batch_normalize_groups(torch.rand(3, 2, 4, 4), None, None, EPSILON, size=2)


@pytest.mark.parametrize(("shape", "layout"), CASES)
def test_mean_and_variance(shape, layout, generator):
    activations = drawn(shape, layout, generator)[0]
    exact = activations.detach().double().requires_grad_()
    dims = [0, *range(2, len(shape))]
    found = batch_mean_and_variance(activations)
    expected = torch.var_mean(exact, dim=dims, correction=0)[::-1]
    weights = [torch.linspace(-1, 2, shape[1]), torch.linspace(3, -1, shape[1])]
    losses = [
        sum((w.to(v) * v).sum() for w, v in zip(weights, values, strict=True))
        for values in (found, expected)
    ]
    for value, true in zip(found, expected, strict=True):
        torch.testing.assert_close(value.double(), true, rtol=1e-5, atol=1e-6)
    gradients = [
        torch.autograd.grad(loss, of)[0]
        for loss, of in zip(losses, (activations, exact), strict=True)
    ]
    torch.testing.assert_close(gradients[0].double(), gradients[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradient_of_mean_and_variance_by_differences(layout, generator):
    activations = drawn((2, 3, 4, 5), layout, generator, dtype=torch.float64)[0]
    assert torch.autograd.gradcheck(batch_mean_and_variance, (activations,))
