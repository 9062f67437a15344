# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""MedBN against a forward pass by hand with sorted values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grata_monai.adapters import MedBN
from grata_monai.adapters.checks import tiny_images, tiny_network
from tests.parity.textbook_statistics import forward


def adapt(adapter, images):
    with adapter.bound(tiny_network()):
        return adapter.adapt(images)


def lower_median(rows):
    return np.sort(rows, axis=1)[:, (rows.shape[1] - 1) // 2]


def test_by_hand():
    def rule(mean, variance, values):
        median = lower_median(values)
        return median, ((values - median[:, None]) ** 2).mean(1)

    images = tiny_images(size=(6, 5))[0]
    _, expected = forward(tiny_network(), images, rule)
    np.testing.assert_allclose(adapt(MedBN(), images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "stride"), [((64, 64), 2), ((64, 62), 1)])
def test_stride_takes_the_median_of_some_if_enough_are_left(size, stride):
    def rule(mean, variance, values):
        some = values.reshape(len(values), *size)[:, ::stride, ::stride].reshape(len(values), -1)
        median = lower_median(some)
        return median, ((values - median[:, None]) ** 2).mean(1)

    images = tiny_images(size=size)[0]
    _, expected = forward(tiny_network(), images, rule)
    np.testing.assert_allclose(adapt(MedBN(stride=2), images), expected, rtol=1e-4, atol=1e-5)


def test_a_stride_beyond_the_size_is_no_fault():
    assert torch.isfinite(adapt(MedBN(stride=100), tiny_images()[0])).all()


@pytest.mark.parametrize("stride", [0, 1.5])
def test_bad_stride(stride):
    with pytest.raises(ValueError, match="'stride' parameter of MedBN"):
        MedBN(stride=stride)
