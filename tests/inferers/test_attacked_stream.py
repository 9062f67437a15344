# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Malicious images, as ``scripts/attack_stream.py`` makes and mixes them."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

from grata_monai.adapters import Tent
from grata_monai.functional.batch_normalization import batch_mean_and_variance
from grata_monai.inferers import AdaptiveInferer, StreamGuard
from tests.conftest import REPOSITORY
from tests.inferers.noise_sources import noise_source, noises

EPSILON = 16 / 255


@pytest.fixture(scope="module")
def scripts():
    """The two scripts as modules."""
    pytest.importorskip("skimage")
    sys.path.insert(0, str(REPOSITORY / "scripts"))
    try:
        return importlib.import_module("attack_stream"), importlib.import_module("_malicious")
    finally:
        sys.path.remove(str(REPOSITORY / "scripts"))


def labels(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand((1, 2, 12, 12), generator=generator) > 0.6).float()


def dice_loss_by_hand(network, images, label):
    """Return the loss with the layers called one after the other."""
    convolution, normalization, activation, last = network
    answers = convolution(images)
    mean, variance = (x[:, None, None] for x in batch_mean_and_variance(answers))
    answers = (answers - mean) / (variance + normalization.eps).sqrt()
    answers = answers * normalization.weight[:, None, None] + normalization.bias[:, None, None]
    p = last(activation(answers)).sigmoid()
    return (1 - (2 * (p * label).sum((2, 3)) / (p + label).sum((2, 3))).mean()).item()


@pytest.mark.parametrize("epsilon", [EPSILON, 0.3])
def test_a_crafted_image_is_near_its_photograph_and_worse(scripts, epsilon):
    _, malicious = scripts
    network, label = noise_source(), labels()
    (photograph,) = noises(1)
    kept = photograph.clone()
    crafted = malicious.craft(network, photograph, label, epsilon=epsilon, steps=5)
    change = (crafted - photograph).abs().max()
    assert 0.9 * epsilon < float(change) <= epsilon + 1e-6
    assert 0 <= float(crafted.min()) < float(crafted.max()) <= 1
    before, after = (dice_loss_by_hand(network, x, label) for x in (photograph, crafted))
    assert after > before + 0.05
    assert malicious.own_dice_loss(network, crafted, label).item() == pytest.approx(after, rel=1e-4)
    assert torch.equal(photograph, kept)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(
        torch.equal(*p) for p in zip(network.buffers(), noise_source().buffers(), strict=True)
    )


def test_the_crafted_image_is_the_worst_on_the_way(scripts):
    _, malicious = scripts
    (photograph,), label = noises(1), labels()
    losses = [
        float(malicious.own_dice_loss(noise_source(), image, label))
        for steps in (1, 2, 8)
        for image in [
            malicious.craft(noise_source(), photograph, label, epsilon=EPSILON, steps=steps)
        ]
    ]
    assert losses[-1] > losses[0]
    assert min(losses) >= float(malicious.own_dice_loss(noise_source(), photograph, label))


def test_crude_images(scripts):
    _, malicious = scripts
    photographs = noises(len(malicious.CRUDE) + 1)
    found = malicious.crude_images(photographs)
    assert len(found) == len(photographs)
    assert all(float(x.min()) == 0 and float(x.max()) == 1 for x in found)
    assert all(x.shape == photographs[0].shape and x.dtype == torch.float32 for x in found)
    low, high = photographs[1].min(), photographs[1].max()
    torch.testing.assert_close(found[1], (high - photographs[1]) / (high - low))  # inverted
    assert set(found[2].unique().tolist()) == {0.0, 1.0}  # black or white


def test_malicious_images_come_before_the_clean_ones(scripts):
    attack_stream, _ = scripts
    clean = [(n, n) for n in range(5)]
    order = [item for item, _ in attack_stream.mixed(clean, ["a", "b", "c"], 2)]
    assert order == ["a", 0, 1, "b", 2, 3, "c", 4]
    assert list(attack_stream.mixed(clean, [], 2)) == clean


def test_behind_the_guard_clean_images_fare_as_if_there_were_no_crude_ones(scripts):
    attack_stream, malicious = scripts
    guard = StreamGuard(foreign_share=1.4)
    clean = [(image, "mask") for image in noises(6)]
    crude = malicious.crude_images(noises(6, seed=2))
    found = [x for x in crude if guard.inspect(x, noise_source()) is not None]
    assert len(found) >= 3  # to this source noise is genuine

    def predict(bad, guard):
        adapter, network = Tent(beta=0.1), noise_source()
        inferer = AdaptiveInferer(adapter, guard=guard)
        with adapter.bound(network):
            stream = list(attack_stream.mixed(clean, bad, 2))
            return [inferer(x, network) for x, _ in stream], [mask for _, mask in stream]

    expected, _ = predict([], None)
    for given, same in ((guard, True), (None, False)):
        logits, masks = predict(found[:3], given)
        pairs = zip([x for x, m in zip(logits, masks, strict=True) if m], expected, strict=True)
        assert all(torch.equal(*pair) for pair in pairs) is same


def test_plan_and_table(scripts):
    attack_stream, _ = scripts
    rows = list(attack_stream.planned(["ptbn", "tent"], [1, 100]))
    assert len(rows) == 2 * 3 + 2 * 3 * 3  # nothing of ptbn's to multiply or to take back
    assert attack_stream.make(rows[-1], 3).adapter.beta == pytest.approx(1e-2)
    table = list(attack_stream.markdown(rows[:4]))
    attacked = "0.00 / 0.00 | 0 of 0 (0) |"
    assert table[2] == f"| ptbn | 1 | none | 0.00 / 0.00 | {attacked} {attacked}"
    assert table[3] == "| ptbn | 1 | stream guard | 0.00 / 0.00 |  |  |  |  |"
