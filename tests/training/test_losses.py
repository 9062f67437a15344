# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the segmentation loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from grata_monai.training import SegmentationLoss


def test_value_by_hand():
    # p = 1/2 everywhere, 8 pixels in all, 3 of them foreground:
    # Dice = 1 - (2 * 1.5 + 1) / (4 + 3 + 1) = 0.5, BCE = ln 2.
    target = torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]], [[[1.0, 0.0]], [[1.0, 0.0]]]])
    loss = SegmentationLoss()(torch.zeros(2, 2, 1, 2), target)
    assert loss.item() == pytest.approx(0.5 + math.log(2))


def test_agrees_with_numpy_in_double_precision():
    random = np.random.default_rng(1)
    logits = random.normal(size=(3, 2, 5, 4)) * 3
    target = (random.random((3, 2, 5, 4)) > 0.7).astype(float)
    p = 1 / (1 + np.exp(-logits))
    dice = 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)
    bce = -(target * np.log(p) + (1 - target) * np.log(1 - p)).mean()
    loss = SegmentationLoss()(torch.from_numpy(logits), torch.from_numpy(target))
    assert loss.item() == pytest.approx(dice + bce, rel=1e-9)


def test_sums_run_over_batch_and_channels_jointly():
    logits = torch.tensor([[[[8.0]], [[-8.0]]], [[[8.0]], [[8.0]]]])
    target = torch.tensor([[[[1.0]], [[1.0]]], [[[1.0]], [[0.0]]]])
    p = torch.sigmoid(logits)
    expected = 1 - (2 * 2 * p[0, 0, 0, 0] + 2 * p[0, 1, 0, 0] + 1) / (p.sum() + 3 + 1)
    bce = torch.nn.functional.binary_cross_entropy(p, target)
    assert SegmentationLoss()(logits, target).item() == pytest.approx(
        (expected + bce).item(), rel=1e-5
    )


def test_empty_target_is_finite_and_has_a_gradient():
    logits = torch.full((1, 2, 3, 3), -2.0, requires_grad=True)
    loss = SegmentationLoss()(logits, torch.zeros(1, 2, 3, 3))
    loss.backward()
    assert torch.isfinite(loss)
    assert (logits.grad > 0).all()


def test_rejects_other_shapes_and_negative_smoothing():
    with pytest.raises(ValueError, match="of one shape"):
        SegmentationLoss()(torch.zeros(1, 2, 3, 3), torch.zeros(1, 1, 3, 3))
    with pytest.raises(ValueError, match="'smooth' parameter of SegmentationLoss"):
        SegmentationLoss(smooth=-1)
