# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Entropies against the published table and the definition in float64."""

from __future__ import annotations

import pytest
import torch

from grata_monai.functional import binary_entropy, one_sided_entropy

LOGITS = torch.tensor([-4.0, -1.0, -0.541, 0.0, 1.0, 4.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("function", "values", "slopes"),
    [
        (
            one_sided_entropy,
            [0.0723, 0.3532, 0.3679, 0.3466, 0.2290, 0.0178],
            [0.0533, 0.0616, 0.0000, -0.0767, -0.1350, -0.0173],
        ),
        (
            binary_entropy,
            [0.0901, 0.5822, 0.6579, 0.6931, 0.5822, 0.0901],
            [0.0707, 0.1966, 0.1258, 0.0000, -0.1966, -0.0707],
        ),
    ],
)
def test_values_and_slopes_of_the_table(function, values, slopes):
    logits = LOGITS.clone().requires_grad_()
    result = function(logits)
    (gradient,) = torch.autograd.grad(result.sum(), logits)
    expected = dict(dtype=torch.float64)
    torch.testing.assert_close(result.detach(), torch.tensor(values, **expected), atol=6e-5, rtol=0)
    torch.testing.assert_close(gradient, torch.tensor(slopes, **expected), atol=6e-5, rtol=0)


@pytest.mark.parametrize("function", [one_sided_entropy, binary_entropy])
def test_gradients_are_right(function):
    assert torch.autograd.gradcheck(function, LOGITS.clone().requires_grad_())


@pytest.mark.parametrize("function", [one_sided_entropy, binary_entropy])
def test_saturated_logits_stay_finite(function):
    logits = torch.tensor([-1e4, 1e4]).requires_grad_()
    result = function(logits)
    (gradient,) = torch.autograd.grad(result.sum(), logits)
    assert torch.isfinite(result).all()
    assert torch.isfinite(gradient).all()


def test_binary_entropy_is_that_of_a_bernoulli_variable():
    reference = torch.distributions.Bernoulli(logits=LOGITS).entropy()
    torch.testing.assert_close(binary_entropy(LOGITS), reference)
