# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Measures of uncertainty by hand, and their ranks."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from grata_monai.adapters import GraTa, build_adapter
from grata_monai.label.uncertainty import Uncertainty, measure_uncertainty, rank_uncertainty
from grata_monai.networks import ResUNet34


class Tiny(nn.Module):
    """One convolution that a flip or a rotation does not commute with, and one batch norm."""

    def __init__(self, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.first = nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 2, 1)
        with torch.no_grad():
            for value in (*self.parameters(), self.norm.running_mean):
                value.copy_(torch.randn(value.shape, generator=generator))
            self.norm.running_var.fill_(0.7)

    def forward(self, images):
        return self.last(torch.relu(self.norm(self.first(images))))


@pytest.fixture
def images(generator):
    return torch.rand(1, 3, 16, 24, generator=generator)


@pytest.fixture
def square(generator):
    return torch.rand(1, 3, 32, 32, generator=generator)


def source_probabilities(network, images):
    network = copy.deepcopy(network).double().eval()
    with torch.no_grad():
        return torch.sigmoid(network(images.double()))[0].numpy()


def test_entropy_by_hand(images):
    network = Tiny()
    p = source_probabilities(network, images)
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    expected = np.mean([entropy[channel].sum() / p[channel].sum() for channel in (0, 1)])
    assert measure_uncertainty(network, images).entropy == pytest.approx(expected, rel=1e-5)


def test_disagreement_by_hand(images):
    network = Tiny()
    x = images[0].numpy()
    # each view of CxHxW with its inverse; rotations are counter-clockwise
    views = [(x, lambda y: y), (x[:, :, ::-1], lambda y: y[:, :, ::-1])]
    views += [(x[:, ::-1], lambda y: y[:, ::-1])]
    for turns in (1, 2, 3):
        views += [(np.rot90(x, turns, (1, 2)), lambda y, n=turns: np.rot90(y, -n, (1, 2)))]
    found = []
    for seen, back in views:
        probabilities = source_probabilities(network, torch.from_numpy(seen.copy())[None])
        found.append(back(probabilities))
    mean = sum(found) / 6
    dices = [
        2 * (q[c] * mean[c]).sum() / (q[c].sum() + mean[c].sum()) for q in found for c in (0, 1)
    ]
    assert len(dices) == 12
    expected = 1 - np.mean(dices)
    assert expected > 0.01
    assert measure_uncertainty(network, images).disagreement == pytest.approx(expected, rel=1e-5)


def test_views_of_a_network_without_neighborhoods_agree(images):
    class PerPixel(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, images):
            return 4 * self.norm(images)[:, :2] - 2

    network = PerPixel()
    p = source_probabilities(network, images)
    softness = 1 - np.mean([(p[channel] ** 2).sum() / p[channel].sum() for channel in (0, 1)])
    found = measure_uncertainty(network, images)
    assert found.disagreement == pytest.approx(softness, rel=1e-5)
    sure = images.round()
    with torch.no_grad():
        network.norm.weight.fill_(50.0)
        network.norm.bias.fill_(-25.0)
    assert measure_uncertainty(network, sure).disagreement == pytest.approx(0.0, abs=1e-9)


def test_misalignment_is_that_of_a_first_step(square):
    network = Tiny()
    adapter = GraTa(seed=3)
    with adapter.bound(copy.deepcopy(network)) as bound:
        bound.adapt(square)
        cosine = bound.trace_["cosine"]
    found = measure_uncertainty(network, square, seed=3)
    assert found.misalignment == pytest.approx((1 - cosine) / 2, abs=1e-12)
    assert 0 < found.misalignment < 1
    assert found.misalignment != measure_uncertainty(network, square, seed=4).misalignment
    assert found == measure_uncertainty(network, square, seed=3)


def test_a_sure_prediction_has_less_entropy_than_a_doubtful_one(images):
    entropies = []
    for scale in (0.1, 1.0, 20.0):
        network = Tiny()
        with torch.no_grad():
            network.last.weight.mul_(scale)
            network.last.bias.mul_(scale)
        entropies.append(measure_uncertainty(network, images).entropy)
    assert entropies[0] > entropies[1] > entropies[2] >= 0


@pytest.mark.parametrize("fill", [-300.0, 300.0])
def test_empty_and_full_predictions_are_finite(square, fill):
    network = Tiny()
    with torch.no_grad():
        network.last.weight.zero_()
        network.last.bias.fill_(fill)
    found = measure_uncertainty(network, square)
    assert math.isfinite(found.entropy)
    assert math.isfinite(found.disagreement)
    assert found.misalignment == pytest.approx(0.5)  # no gradients: a cosine of 0


def state_of(network):
    return (
        {name: value.clone() for name, value in network.state_dict().items()},
        {name: (p.requires_grad, p.grad) for name, p in network.named_parameters()},
        {name: module.training for name, module in network.named_modules()},
        {name: dict(module._forward_hooks) for name, module in network.named_modules()},
    )


@pytest.mark.parametrize("training", [True, False])
def test_the_network_comes_back_as_it_was(generator, training):
    square = torch.rand(1, 3, 64, 64, generator=generator)
    torch.manual_seed(0)
    network = ResUNet34().train(training)
    network.encoder.bn1.train(not training)
    first, *_ = network.parameters()
    first.requires_grad_(False)
    before, seen = state_of(network), square.clone()
    found = measure_uncertainty(network, square)
    after = state_of(network)
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1:] == after[1:]
    assert torch.equal(square, seen)
    network.eval()
    assert measure_uncertainty(network, square) == found  # it does not depend on flags
    with torch.inference_mode():
        assert measure_uncertainty(network, square) == found


def test_the_global_random_state_is_left_alone(square):
    network = Tiny()
    before = torch.get_rng_state()
    measure_uncertainty(network, square)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_free_network_and_one_image(images):
    with pytest.raises(ValueError, match=r"measured of one image, .* Got \(2, 3, 16, 24\)"):
        measure_uncertainty(Tiny(), images.repeat(2, 1, 1, 1))
    with pytest.raises(ValueError, match=r"Got \(3, 16, 24\)"):
        measure_uncertainty(Tiny(), images[0])
    network = Tiny()
    with (
        build_adapter("tent").bound(network),
        pytest.raises(RuntimeError, match="bound by another adapter"),
    ):
        measure_uncertainty(network, images)


def test_an_image_that_is_not_finite_is_measured_as_nan(images):
    images[0, 0, 0, 0] = math.nan
    found = measure_uncertainty(Tiny(), images)
    assert math.isnan(found.misalignment)
    assert math.isnan(found.entropy)
    ranks = rank_uncertainty({"a": Uncertainty(1, 1, 1), "b": found})
    assert ranks == {"a": 0.5, "b": 1.0}


def test_ranks_by_hand():
    measures = {
        "a": Uncertainty(0.1, 0.3, 0.9),  # ranks 1, 2
        "b": Uncertainty(5.0, 0.2, 0.5),  # 4, 1
        "c": Uncertainty(0.2, 0.4, 0.5),  # 2.5, 3.5
        "d": Uncertainty(0.2, 0.4, 0.1),  # 2.5, 3.5; misalignment does not count
    }
    found = rank_uncertainty(measures)
    assert list(found) == list("abcd")
    assert found == pytest.approx({"a": 3 / 8, "b": 5 / 8, "c": 6 / 8, "d": 6 / 8})


def test_ranks_do_not_depend_on_order_or_scale(generator):
    values = torch.rand(7, 3, generator=generator).tolist()
    found = rank_uncertainty({str(i): Uncertainty(*v) for i, v in enumerate(values)})
    backwards = rank_uncertainty({str(i): Uncertainty(*values[i]) for i in reversed(range(7))})
    assert found == backwards
    scaled = {str(i): Uncertainty(100 * a, b**3, c - 5) for i, (a, b, c) in enumerate(values)}
    assert rank_uncertainty(scaled) == found
    assert 0 < min(found.values()) < max(found.values()) <= 1


def test_one_image_no_image_and_equal_images():
    one = Uncertainty(0.3, 0.1, 0.5)
    assert rank_uncertainty({"a": one}) == {"a": 1.0}
    assert rank_uncertainty({}) == {}
    assert rank_uncertainty({"a": one, "b": one}) == {"a": 0.75, "b": 0.75}


def test_what_is_not_finite_counts_as_largest():
    measures = {
        "a": Uncertainty(1.0, math.nan, 0.1),  # ranks 1, 4
        "b": Uncertainty(2.0, 0.9, math.nan),  # 2, 3
        "c": Uncertainty(math.inf, 0.1, 0.2),  # 3.5, 1
        "d": Uncertainty(math.nan, 0.2, 0.2),  # 3.5, 2
    }
    expected = {"a": 5 / 8, "b": 5 / 8, "c": 4.5 / 8, "d": 5.5 / 8}
    assert rank_uncertainty(measures) == pytest.approx(expected)
