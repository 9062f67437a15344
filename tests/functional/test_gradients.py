# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Gradients as one long vector."""

from __future__ import annotations

import pytest
import torch

from grata_monai.functional import compute_gradients, cosine_similarity, gradient_norm


def vectors(*rows):
    return [torch.tensor(row) for row in rows]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (([3.0], [4.0]), ([6.0], [8.0]), 1.0),
        (([3.0], [4.0]), ([-3.0], [-4.0]), -1.0),
        (([1.0], [0.0]), ([0.0], [1.0]), 0.0),
        (([3.0], [4.0]), ([4.0], [3.0]), 0.96),
        (([0.0], [0.0]), ([4.0], [3.0]), 0.0),
    ],
)
def test_cosine(first, second, expected):
    assert cosine_similarity(vectors(*first), vectors(*second)) == pytest.approx(expected, abs=1e-9)


def test_cosine_ignores_the_scale_of_either():
    a, b = vectors([1.0, 2.0]), vectors([-2.0, 5.0])
    assert cosine_similarity(a, [1e3 * b[0]]) == pytest.approx(cosine_similarity(a, b), abs=1e-7)


def test_cosine_stays_in_its_range():
    a = [torch.full((1000,), 0.1)]
    assert cosine_similarity(a, a) <= 1.0


def test_norm_runs_over_all_tensors():
    assert gradient_norm(vectors([3.0], [4.0, 12.0])) == pytest.approx(13.0)


def test_missing_gradients_are_zeros_and_fields_stay_empty():
    used, unused = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    gradients = compute_gradients((used**2).sum(), [used, unused])
    assert torch.equal(gradients[0], torch.full((2,), 2.0))
    assert torch.equal(gradients[1], torch.zeros(3))
    assert used.grad is None


def test_a_loss_without_a_graph_has_zero_gradients():
    parameter = torch.ones(2, requires_grad=True)
    assert torch.equal(compute_gradients(torch.tensor(1.0), [parameter])[0], torch.zeros(2))
