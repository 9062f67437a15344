# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""TENT against a plain implementation with torch's own layers and optimizer."""

from __future__ import annotations

import torch

from grata_monai.adapters import GraTa, Tent
from grata_monai.adapters.checks import tiny_images, tiny_network
from tests.parity.textbook import textbook_tent


def test_equals_the_textbook_over_a_stream():
    images = tiny_images(4)
    expected = textbook_tent(tiny_network(), images, learning_rate=0.05)
    with Tent(beta=0.05).bound(tiny_network()) as adapter:
        for image, logits in zip(images, expected, strict=True):
            torch.testing.assert_close(adapter.adapt(image), logits, rtol=1e-5, atol=1e-6)


def test_equals_grata_without_auxiliary_and_with_entropy_as_pseudo_loss():
    images = tiny_images(3)
    with Tent(beta=0.05).bound(tiny_network()) as tent:
        expected = [tent.adapt(image) for image in images]
    with GraTa(auxiliary=None, pseudo="entropy", beta=0.05).bound(tiny_network()) as grata:
        for image, logits in zip(images, expected, strict=True):
            assert torch.equal(grata.adapt(image), logits)


def test_trace():
    with Tent().bound(tiny_network()) as adapter:
        adapter.adapt(tiny_images()[0])
    assert set(adapter.trace_) == {"loss", "gradient_norm", "learning_rate", "updated"}
    assert adapter.trace_["learning_rate"] == 1e-4
