# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""GEM on sigmoid outputs, for each view of what a class is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.objectives import GeneralizedEntropy

IMAGES = torch.cat(tiny_images(2)).double()


def network():
    """The tiny network with logits around 0, so that either channel may be the larger."""
    network = tiny_network().double().eval()
    with torch.no_grad():
        network[-1].bias -= network(IMAGES).mean((0, 2, 3))
    return network


def entropy(logits, t, kind, axis):
    p = np.exp(logits / t)
    p = p / p.sum(axis, keepdims=True)
    q = np.exp(logits)
    q = p if kind == "gem_t" else q / q.sum(axis, keepdims=True)
    return -(q * np.log(p) * t**2).sum(axis).mean()


@pytest.mark.parametrize("kind", ["gem_t", "gem_skd"])
@torch.no_grad()
def test_nested_classes_written_out(kind, generator):
    disc, cup = 1 / (1 + np.exp(-network()(IMAGES).numpy().swapaxes(0, 1)))
    assert 0.05 < (cup > disc).mean() < 0.95
    classes = np.stack([1 - disc, np.maximum(disc - cup, 0), cup], axis=1)
    z = np.log(np.maximum(classes / classes.sum(1, keepdims=True), 1e-6))
    t = 2 * z.std(axis=1, ddof=1, keepdims=True)
    found = GeneralizedEntropy(kind=kind)(network(), IMAGES, generator).item()
    assert found == pytest.approx(entropy(z, t, kind, axis=1))


@pytest.mark.parametrize("kind", ["gem_t", "gem_skd"])
@torch.no_grad()
def test_channels_written_out(kind, generator):
    z = network()(IMAGES).numpy()
    t = 2 * z.std(axis=(2, 3), ddof=1, keepdims=True)[..., None]
    pairs = np.stack([z, np.zeros_like(z)], axis=-1)
    objective = GeneralizedEntropy(kind=kind, classes="channel")
    expected = entropy(pairs, t, kind, axis=-1)
    assert objective(network(), IMAGES, generator).item() == pytest.approx(expected)


@torch.no_grad()
def test_binary_is_the_full_entropy(generator):
    expected = torch.distributions.Bernoulli(logits=network()(IMAGES)).entropy().mean()
    found = GeneralizedEntropy(classes="binary")(network(), IMAGES, generator)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", ["gem_t", "gem_skd"])
@pytest.mark.parametrize("classes", ["nested3", "channel", "binary"])
@pytest.mark.parametrize("level", [-200.0, 0.0, 200.0])
def test_saturated_and_flat_predictions_have_finite_gradients(kind, classes, level, generator):
    flat = nn.Conv2d(3, 2, 1)
    nn.init.zeros_(flat.weight)
    nn.init.constant_(flat.bias, level)
    loss = GeneralizedEntropy(kind=kind, classes=classes)(flat, IMAGES.float(), generator)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(flat.weight.grad).all()


def test_errors(generator):
    with pytest.raises(ValueError, match="'kind' parameter of GeneralizedEntropy"):
        GeneralizedEntropy(kind="gem")
    with pytest.raises(ValueError, match="'classes' parameter of GeneralizedEntropy"):
        GeneralizedEntropy(classes="nested")
    with pytest.raises(ValueError, match=r"two channels.*Got 1"):
        GeneralizedEntropy()(nn.Conv2d(3, 1, 1), torch.zeros(1, 3, 4, 4), generator)
    GeneralizedEntropy(classes="channel")(nn.Conv2d(3, 1, 1), torch.rand(1, 3, 4, 4), generator)
