# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The plain network against the package's own: same names, same numbers, same gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grata_monai.adapters.checks import tiny_network
from grata_monai.benchmark.textbook import PlainResUNet, build_textbook, plain_copy
from grata_monai.networks import ResUNet34, WithHeads, build_heads
from tests.benchmark.textbook.draws import run_adapter, same_draws


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = ResUNet34().double().train()
    with torch.no_grad():
        for _ in range(2):  # running statistics that differ from layer to layer
            network(torch.rand(2, 3, 64, 64, dtype=torch.float64))
    return network.eval()


@pytest.fixture
def image():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(1, 3, 64, 64, generator=generator, dtype=torch.float64)


def test_names_and_order_of_parameters_are_the_same(network):
    plain = plain_copy(network)
    assert type(plain) is PlainResUNet
    assert [n for n, _ in plain.named_parameters()] == [n for n, _ in network.named_parameters()]
    assert plain.state_dict().keys() == network.state_dict().keys()
    assert not any(type(m).__module__.startswith("monai") for m in plain.modules())
    ours = {p.data_ptr() for p in network.parameters()}
    assert not ours & {p.data_ptr() for p in plain.parameters()}


@pytest.mark.parametrize("training", [False, True])
def test_logits_and_gradients_are_the_same(network, image, training):
    plain = plain_copy(network)
    results = []
    for one in (network, plain):
        for module in one.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(training)
                module.momentum = 0.0
        logits = one(image)
        chosen = ("up2.up.weight", "bn1.weight")
        weights = [p for n, p in one.named_parameters() if n.endswith(chosen)]
        results.append((logits, torch.autograd.grad(logits.sigmoid().mean(), weights)))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=1e-10, atol=1e-10)
    assert len(results[0][1]) == 1 + 1 + 16
    for found, expected in zip(results[1][1], results[0][1], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-12)


def test_grata_on_the_papers_network(network, image):
    settings = {"beta": 1e-2, "seed": 5}
    (expected,), seen = run_adapter("grata", network, [image], **settings)
    draws = same_draws("grata", seed=5, views=None, seen=seen)
    found = build_textbook("grata", network, **settings, **draws).step(image)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-8)


def test_heads_are_left_out(network):
    plain = plain_copy(WithHeads(network, build_heads(["rotation"])))
    assert type(plain) is PlainResUNet


def test_channels_and_precision_are_kept():
    plain = plain_copy(ResUNet34(in_channels=1, out_channels=4))
    assert next(plain.parameters()).dtype == torch.float32
    with torch.no_grad():
        assert plain.eval()(torch.zeros(1, 1, 32, 64)).shape == (1, 4, 32, 64)


def test_other_networks_are_copied():
    network = tiny_network()
    copied = plain_copy(network)
    assert type(copied) is type(network)
    assert copied is not network
    with torch.no_grad():
        next(copied.parameters()).zero_()
    assert next(network.parameters()).any()
