# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""AlphaBN against a forward pass by hand, and its two ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grata_monai.adapters import AlphaBN, BatchNormAdapt, Source
from grata_monai.adapters.checks import tiny_images, tiny_network
from tests.parity.textbook_statistics import forward, mixture


def adapt(adapter, images):
    with adapter.bound(tiny_network()):
        return adapter.adapt(images)


@pytest.mark.parametrize(("share", "unbiased"), [(0.9, False), (0.9, True), (0.4, True)])
def test_by_hand(share, unbiased):
    images = tiny_images(size=(4, 3))[0]
    _, expected = forward(tiny_network(), images, mixture(share, ddof=int(unbiased)))
    found = adapt(AlphaBN(source_share=share, unbiased=unbiased), images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("share", "end"), [(1.0, Source()), (0.0, BatchNormAdapt())])
def test_ends(share, end):
    images = tiny_images()[0]
    found = adapt(AlphaBN(source_share=share), images)
    torch.testing.assert_close(found, adapt(end, images), rtol=1e-4, atol=1e-5)


def test_default_takes_a_tenth_of_the_image():
    assert AlphaBN().source_share == 0.9


def test_unbiased_needs_two_values():
    images = tiny_images(size=(1, 1))[0]
    assert torch.isfinite(adapt(AlphaBN(), images)).all()
    with pytest.raises(ValueError, match="one value per channel"):
        adapt(AlphaBN(unbiased=True), images)
