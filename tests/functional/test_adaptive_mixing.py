# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""AdaMixBN's share and the statistics transformation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grata_monai.functional import (
    Statistics,
    adaptive_source_share,
    batch_statistics,
    instance_statistics,
    mix,
    normalize,
    rectified_affine,
)

SOURCE = Statistics(torch.tensor([0.1, -0.4]).double(), torch.tensor([0.5, 2.0]).double())


def activations(count, generator):
    return torch.randn(count, 2, 5, 6, generator=generator, dtype=torch.float64) * 1.7 + 0.3


def share(values):
    return adaptive_source_share(
        SOURCE, batch_statistics(values, unbiased=True), instance_statistics(values)
    )


def test_half_for_a_single_image(generator):
    assert share(activations(1, generator)).item() == pytest.approx(0.5, abs=1e-12)


def test_half_if_all_are_the_same():
    values = torch.tensor([[[-1.0, 1.0, 0.0]], [[-1.0, 1.0, 0.0]]])
    batch = Statistics(torch.zeros(1), torch.ones(1))
    assert adaptive_source_share(batch, batch, instance_statistics(values)).item() == 0.5


def test_share_of_a_batch_written_out(generator):
    values = activations(3, generator)
    array = values.numpy()

    def distance(a, b):
        return np.mean((a[0] - b[0]) ** 2) + np.mean((np.sqrt(a[1]) - np.sqrt(b[1])) ** 2)

    source = [part.numpy() for part in SOURCE]
    batch = [array.mean((0, 2, 3)), array.var((0, 2, 3), ddof=1)]
    shares = []
    for image in array:
        own = [image.mean((1, 2)), image.var((1, 2), ddof=1)]
        total = distance(source, batch) + distance(own, source) + distance(own, batch)
        shares.append(np.clip(1 - distance(source, batch) / total, 0, 1))
    assert share(values).item() == pytest.approx(np.mean(shares))
    assert abs(np.mean(shares) - 0.5) > 1e-3


@pytest.mark.parametrize("source_share", [0.0, 0.5, 0.8, 1.0])
def test_rectified_scale_and_shift_give_what_mixing_gave(source_share, generator):
    values = activations(2, generator)
    weight, bias = torch.tensor([1.5, -0.3]).double(), torch.tensor([0.2, 0.7]).double()
    current = batch_statistics(values, unbiased=True)
    expected = normalize(values, mix(SOURCE, current, source_share), weight, bias, 1e-5)
    rectified = rectified_affine(
        weight, bias, source=SOURCE, current=current, source_share=source_share, epsilon=1e-5
    )
    torch.testing.assert_close(normalize(values, current, *rectified, 1e-5), expected)
