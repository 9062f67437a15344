# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Entropy of mean probabilities by hand, and where it has no derivative."""

from __future__ import annotations

import math

import pytest
import torch

from grata_monai.functional.entropy import binary_entropy
from grata_monai.functional.marginal import bernoulli_entropy


@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.9])
def test_by_hand(p):
    expected = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert bernoulli_entropy(torch.tensor(p)).item() == pytest.approx(expected, rel=1e-5)


def test_agrees_with_the_entropy_of_logits():
    logits = torch.linspace(-6, 6, 25, dtype=torch.float64)
    found = bernoulli_entropy(torch.sigmoid(logits))
    torch.testing.assert_close(found, binary_entropy(logits))


def test_certain_probabilities_have_no_entropy_and_no_gradient():
    p = torch.tensor([0.0, 1.0], requires_grad=True)
    entropy = bernoulli_entropy(p)
    entropy.sum().backward()
    assert entropy.abs().max().item() < 1e-5
    assert torch.equal(p.grad, torch.zeros(2))


def test_gradient():
    p = torch.tensor([0.1, 0.6], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(bernoulli_entropy, p)
