# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""InTEnt against the whole method written out in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grata_monai.adapters import AlphaBN, InTEnt
from grata_monai.adapters.checks import tiny_images, tiny_network
from tests.parity.textbook_statistics import forward, logit, mixture, sigmoid


def entropy(p):
    return -p * np.log2(p) - (1 - p) * np.log2(1 - p)


def balanced(p):
    inside = p >= 0.5
    if inside.all() or not inside.any():
        return entropy(p).mean()
    return 0.5 * (entropy(p[inside]).mean() + entropy(p[~inside]).mean())


def textbook(network, images, levels, score):
    shares = [k / (levels - 1) for k in range(levels)]
    p = np.stack([sigmoid(forward(network, images, mixture(1 - r, ddof=1))[1][0]) for r in shares])
    result = np.empty_like(p[0])
    for channel in range(p.shape[1]):
        trust = -np.array([score(p[r, channel]) for r in range(levels)])
        span = trust.max() - trust.min()
        trust = (trust - trust.min()) / span if span else np.zeros(levels)
        weights = np.exp(trust) / np.exp(trust).sum()
        result[channel] = np.tensordot(weights, p[:, channel], axes=1)
    return logit(result)


def adapt(adapter, images, network=None, infer=None):
    with adapter.bound(tiny_network() if network is None else network):
        return adapter.adapt(images, infer)


@pytest.mark.parametrize(
    ("weighting", "score"),
    [
        ("balanced_entropy", balanced),
        ("entropy", lambda p: entropy(p).mean()),
        ("average", lambda p: 0.0),
    ],
)
@pytest.mark.parametrize("levels", [6, 2])
def test_equals_the_textbook(weighting, score, levels):
    images = tiny_images(size=(6, 5), seed=4)[0]
    expected = textbook(tiny_network(), images, levels, score)
    found = adapt(InTEnt(levels=levels, weighting=weighting), images)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


def test_images_of_a_batch_are_weighted_alone():
    images = torch.cat([tiny_images()[0], 0.2 * tiny_images(seed=1)[0]])
    levels = torch.stack(
        [adapt(AlphaBN(source_share=1 - k / 2, unbiased=True), images).double() for k in range(3)]
    )
    found = adapt(InTEnt(levels=3), images)
    for b in range(2):
        for c in range(2):
            p = sigmoid(levels[:, b, c].numpy())
            trust = -np.array([balanced(q) for q in p])
            trust = (trust - trust.min()) / (trust.max() - trust.min())
            weights = np.exp(trust) / np.exp(trust).sum()
            expected = logit(np.tensordot(weights, p, axes=1))
            np.testing.assert_allclose(found[b, c], expected, rtol=1e-4, atol=1e-5)


def test_saturated_levels_give_finite_logits():
    network = tiny_network()
    with torch.no_grad():
        network[-1].weight.mul_(1e4)
    logits = adapt(InTEnt(), tiny_images()[0], network)
    assert torch.isfinite(logits).all()
    assert logits.abs().max() > 100


def test_a_window_counts_as_an_image():
    images = tiny_images(size=(8, 12))[0]

    def infer(whole, predict):
        return torch.cat([predict(part) for part in whole.chunk(2, dim=-1)], dim=-1)

    found = adapt(InTEnt(), images, infer=infer)
    expected = [adapt(InTEnt(), part) for part in images.chunk(2, dim=-1)]
    assert torch.equal(found, torch.cat(expected, dim=-1))


def test_bad_options():
    with pytest.raises(ValueError, match="'levels' parameter of InTEnt"):
        InTEnt(levels=1)
    with pytest.raises(ValueError, match="did you mean 'entropy'"):
        InTEnt(weighting="entropi")
