# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DLTTA against a plain implementation, its limits by hand, and the contract of its options."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from grata_monai.adapters import DLTTA, Tent
from grata_monai.adapters.checks import CHECKS, tiny_images, tiny_network
from tests.parity.textbook import textbook_tent

IMAGES = tiny_images(6)


def textbook_factor(memory, key, logits, *, neighbours, tau, combine, rule):
    """The learning-rate factor in numpy-like float64, with logarithms written out."""
    scored = []
    for past_key, past_logits in memory:
        cosine = (key * past_key).sum() / (key.square().sum() * past_key.square().sum()).sqrt()
        scored.append((cosine.item(), past_logits))
    scored.sort(key=lambda pair: -pair[0])
    scored = scored[:neighbours]
    total = sum(math.exp(s / 0.2) for s, _ in scored)
    terms = [math.exp(s / 0.2) / total * z for s, z in scored]
    mean = terms[0] if combine == "legacy" else sum(terms)
    q, p = torch.sigmoid(mean), torch.sigmoid(logits / tau)
    forward = q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()
    backward = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    discrepancy = (forward + backward).mean().item()
    return math.exp(discrepancy) if rule == "exp" else discrepancy


def textbook_dltta(images, *, beta, memory_size, neighbours, tau, combine, rule):
    """Torch's own layers in training mode and its own Adam, in float64."""
    network = copy.deepcopy(tiny_network()).double().eval()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
    network.requires_grad_(False)
    affine = [p.requires_grad_() for norm in norms for p in norm.parameters()]
    adam = torch.optim.Adam(affine, lr=beta)
    memory, outputs, factors = [], [], []
    for image in images:
        image = image.double()
        key = image
        for layer in list(network)[:-1]:
            key = layer(key)
        key, logits = key.detach().flatten(), network(image)
        factor = 1.0
        if len(memory) >= neighbours:
            settings = dict(neighbours=neighbours, tau=tau, combine=combine, rule=rule)
            factor = textbook_factor(memory, key, logits.detach()[0], **settings)
        adam.param_groups[0]["lr"] = beta * factor
        p = torch.sigmoid(logits)
        adam.zero_grad()
        (-p * torch.log(p + 1e-6)).sum(1).mean().backward()
        adam.step()
        after = network(image).detach()
        memory = [*memory, (key, after[0])][-memory_size:]
        outputs.append(after)
        factors.append(factor)
    return outputs, factors


@pytest.mark.parametrize("combine", ["fixed", "legacy"])
@pytest.mark.parametrize("rule", ["exp", "linear"])
def test_equals_the_textbook_over_a_stream(combine, rule):
    settings = {"memory_size": 3, "neighbours": 2, "combine": combine}
    outputs, factors = textbook_dltta(IMAGES, beta=0.05, tau=4.0, rule=rule, **settings)
    with DLTTA(beta=0.05, lr_rule=rule, **settings).bound(tiny_network().double()) as adapter:
        for image, expected, factor in zip(IMAGES, outputs, factors, strict=True):
            torch.testing.assert_close(adapter.adapt(image.double()), expected)
            assert adapter.trace_["learning_rate"] == pytest.approx(0.05 * factor, rel=1e-9)
    assert factors[:2] == [1.0, 1.0]
    assert all(factor != 1.0 for factor in factors[2:])


@pytest.mark.parametrize(("rule", "factor"), [("exp", 1.0), ("linear", 0.0)])
def test_no_discrepancy_for_the_same_image_and_parameters(rule, factor):
    adapter = DLTTA(beta=0.0, temperature=1.0, neighbours=2, memory_size=2, lr_rule=rule)
    with adapter.bound(tiny_network()):
        for _ in range(3):
            adapter.adapt(IMAGES[0])
        assert adapter.trace_["discrepancy"] == pytest.approx(0.0, abs=1e-6)
        adapter.beta = 1e-3
        adapter.adapt(IMAGES[0])
        assert adapter.trace_["learning_rate"] == pytest.approx(1e-3 * factor, abs=1e-9)


def test_the_temperature_alone_makes_a_discrepancy():
    with DLTTA(beta=0.0, neighbours=1).bound(tiny_network()) as adapter:
        for _ in range(2):
            adapter.adapt(IMAGES[0])
        assert adapter.trace_["discrepancy"] > 1e-3


def test_warm_up():
    with DLTTA(beta=0.01, warmup="ramp", neighbours=3).bound(tiny_network()) as adapter:
        for count in range(3):
            adapter.adapt(IMAGES[count])
            assert adapter.trace_["learning_rate"] == pytest.approx(0.01 * count)
        adapter.adapt(IMAGES[3])
        assert adapter.trace_["learning_rate"] > 0.01
    expected = textbook_tent(tiny_network(), IMAGES, learning_rate=0.05)
    with DLTTA(beta=0.05).bound(tiny_network()) as adapter:
        for image, logits in zip(IMAGES, expected, strict=True):
            torch.testing.assert_close(adapter.adapt(image), logits, rtol=1e-5, atol=1e-6)


def test_the_memory_is_first_in_first_out_and_safe_from_callers():
    with DLTTA(memory_size=2, neighbours=1).bound(tiny_network()) as adapter:
        outputs = [adapter.adapt(image) for image in IMAGES[:3]]
        expected = outputs[-1].clone()
        outputs[-1].zero_()
        memory = adapter.state_dict()["method"]["memory"]
        assert len(memory) == 2
        assert torch.equal(memory[1]["logits"], expected[0])
        memory[1]["logits"].zero_()
        assert torch.equal(adapter.state_dict()["method"]["memory"][1]["logits"], expected[0])


def test_images_of_other_shapes_and_batches():
    with DLTTA(neighbours=2, beta=0.01).bound(tiny_network()) as adapter:
        adapter.adapt(torch.cat(IMAGES[:2]))
        adapter.adapt(tiny_images(size=(12, 10))[0])
        assert math.isnan(adapter.trace_["discrepancy"])
        adapter.adapt(tiny_images(size=(10, 12))[0])
        assert math.isnan(adapter.trace_["discrepancy"])
        adapter.adapt(torch.cat(IMAGES[2:4]))
        assert adapter.trace_["discrepancy"] > 0
        assert len(adapter.state_dict()["method"]["memory"]) == 6


def test_an_infinite_learning_rate_changes_nothing():
    adapter = DLTTA(neighbours=1, beta=0.01)
    with adapter.bound(tiny_network()):
        adapter.adapt(IMAGES[0])
        state = adapter.state_dict()
        with torch.no_grad():
            adapter.network[-1].weight.mul_(1e6)
        adapter.adapt(IMAGES[1])
        assert adapter.trace_ == {"updated": 0.0}
        assert len(adapter.state_dict()["method"]["memory"]) == 1
        for name, value in adapter.state_dict()["parameters"].items():
            assert torch.equal(value, state["parameters"][name])


def test_an_exception_after_the_step_undoes_it():
    network = tiny_network()
    with DLTTA(beta=0.05).bound(network) as adapter:
        adapter.adapt(IMAGES[0])
        before = adapter.state_dict()
        calls = []
        hook = network.register_forward_pre_hook(
            lambda *_: calls.append(1) or (1 / 0 if len(calls) == 2 else None)
        )
        with pytest.raises(ZeroDivisionError, match="division"):
            adapter.adapt(IMAGES[1])
        hook.remove()
        expected = adapter.adapt(IMAGES[1])
        adapter.load_state_dict(before)
        assert torch.equal(adapter.adapt(IMAGES[1]), expected)


def test_a_network_without_bottleneck_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    with pytest.raises(ValueError, match=r"method bottleneck\(images\), which Sequential has not"):
        DLTTA().bind(network)
    with Tent().bound(network):
        pass


@pytest.mark.parametrize(
    "settings",
    [
        {"neighbours": 0},
        {"memory_size": 7},
        {"temperature": 0.0},
        {"similarity_temperature": 0},
        {"combine": "all"},
        {"lr_rule": "log"},
        {"warmup": "none"},
        {"objective": "tropy"},
    ],
)
def test_bad_settings(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"'{name}' parameter of DLTTA"):
        DLTTA(**settings)


VARIANTS = {
    "one neighbour": DLTTA(neighbours=1, memory_size=2, beta=0.01),
    "legacy linear": DLTTA(
        neighbours=1, combine="legacy", lr_rule="linear", beta=0.1, warmup="ramp"
    ),
    "before update": DLTTA(neighbours=1, predict="before_update", beta=0.01),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("variant", VARIANTS)
def test_contract(variant, check):
    check(VARIANTS[variant])
