# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Prototypes and class views against loops over pixels in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grata_monai.functional import (
    CLASS_VIEWS,
    Prototypes,
    masked_prototypes,
    merge_prototypes,
    nested_probabilities,
    prototype_scores,
)


def test_means_of_masked_pixels(generator):
    features = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    masks = torch.rand(2, 4, 4, 5, generator=generator) > 0.6
    masks[:, 2] = False
    found = masked_prototypes(features, masks)
    for k in range(4):
        pixels = [
            features[b, :, y, x].numpy()
            for b, y, x in np.ndindex(2, 4, 5)
            if bool(masks[b, k, y, x])
        ]
        expected = np.mean(pixels, axis=0) if pixels else np.zeros(3)
        np.testing.assert_allclose(found.means[k], expected, atol=1e-12)
    assert found.seen.tolist() == [True, True, False, True]


def test_history_follows_appears_and_waits():
    history = Prototypes(torch.tensor([[1.0], [0.0], [3.0]]), torch.tensor([True, False, True]))
    current = Prototypes(torch.tensor([[2.0], [5.0], [0.0]]), torch.tensor([True, True, False]))
    means, seen = merge_prototypes(history, current, 0.1)
    torch.testing.assert_close(means, torch.tensor([[0.9 * 1 + 0.1 * 2], [5.0], [3.0]]))
    assert seen.tolist() == [True, True, True]


def test_never_seen_stays_unseen():
    nothing = Prototypes(torch.zeros(1, 2), torch.tensor([False]))
    assert merge_prototypes(nothing, nothing, 0.1).seen.tolist() == [False]


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (2, 3, 2, 3, 2)])
def test_scores_are_negative_distances(shape, generator):
    features = torch.randn(shape, generator=generator, dtype=torch.float64)
    means = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    found = prototype_scores(features, means, 0.5)
    moved = np.moveaxis(features.numpy(), 1, -1)
    for k in range(2):
        distance = np.sqrt(((moved - means[k].numpy()) ** 2).sum(-1))
        np.testing.assert_allclose(found[:, k], -distance / 0.5, rtol=1e-12)


def test_nested_probabilities():
    logits = torch.logit(torch.tensor([[0.9, 0.2], [0.3, 0.6]], dtype=torch.float64))
    found = nested_probabilities(logits.view(1, 2, 2))[0]
    normal, crossed = found.unbind(dim=1)
    torch.testing.assert_close(normal, torch.tensor([0.1, 0.6, 0.3], dtype=torch.float64))
    expected = torch.tensor([0.8, 0.0, 0.6], dtype=torch.float64) / 1.4
    torch.testing.assert_close(crossed, expected)


def test_nested_needs_two_channels():
    with pytest.raises(ValueError, match="two channels"):
        CLASS_VIEWS["nested3"].masks(torch.zeros(1, 3, 4), 0.9)


def test_binary_masks_take_what_is_sure():
    logits = torch.logit(torch.tensor([0.95, 0.5, 0.05])).view(1, 1, 3)
    masks = CLASS_VIEWS["binary"].masks(logits, 0.9)
    assert masks.tolist() == [[[True, False, False], [False, False, True]]]


def test_nested_masks_take_what_is_sure():
    logits = torch.logit(torch.tensor([[0.05, 0.97, 0.97, 0.6], [0.01, 0.02, 0.95, 0.5]]))
    masks = CLASS_VIEWS["nested3"].masks(logits.view(1, 2, 4), 0.9)
    assert masks[0].int().tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]


def test_binary_scores_become_logits():
    scores = torch.tensor([-1.0, -2.0, -4.0, -8.0]).view(1, 4, 1)
    logits, decided = CLASS_VIEWS["binary"].logits(scores, torch.tensor([True, True, True, False]))
    assert logits.flatten().tolist() == [3.0, 6.0]
    assert decided.tolist() == [True, False]


def test_nested_scores_become_logits():
    scores = torch.tensor([-1.0, -2.0, -3.0], dtype=torch.float64).view(1, 3, 1)
    weights = np.exp([-1.0, -2.0, -3.0]) / np.exp([-1.0, -2.0, -3.0]).sum()
    disc, cup = weights[1] + weights[2], weights[2]
    logits, decided = CLASS_VIEWS["nested3"].logits(scores, torch.tensor([True, True, True]))
    expected = [np.log(disc / (1 - disc)), np.log(cup / (1 - cup))]
    np.testing.assert_allclose(logits.flatten(), expected, rtol=1e-12)
    assert decided.tolist() == [True, True]


@pytest.mark.parametrize(
    ("seen", "signs"),
    [((True, True, False), (0, -1)), ((True, False, True), (0, 0)), ((False, True, True), (1, 0))],
)
def test_an_unseen_class_has_no_weight(seen, signs):
    scores = torch.tensor([-1.0, -1.0, -1.0]).view(1, 3, 1)
    logits, decided = CLASS_VIEWS["nested3"].logits(scores, torch.tensor(seen))
    assert torch.isfinite(logits).all()
    assert decided.all()
    assert [int(torch.sign(z)) for z in logits.flatten()] == list(signs)
    assert all(abs(z) > 1000 for z, sign in zip(logits.flatten(), signs, strict=True) if sign)


def test_one_class_decides_nothing():
    scores = torch.zeros(1, 3, 1)
    for seen in ((True, False, False), (False, False, False)):
        assert not CLASS_VIEWS["nested3"].logits(scores, torch.tensor(seen))[1].any()
