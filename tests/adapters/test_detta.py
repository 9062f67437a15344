# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DeTTA against a plain implementation, its corrupted prediction, and its contract."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grata_monai.adapters import DeTTA, build_adapter
from grata_monai.adapters.checks import CHECKS, tiny_images, tiny_network
from grata_monai.networks import ResUNet34, WithHeads, build_heads
from grata_monai.transforms.degrade import corrupt_blind_spots
from tests.parity.textbook import prepare

IMAGES = tiny_images(4)


def textbook_detta(images, *, beta):
    network, parameters = prepare(tiny_network().double())
    adam = torch.optim.Adam(parameters, lr=beta, betas=(0.9, 0.99))
    generator = torch.Generator().manual_seed(0)
    outputs = []
    for image in images:
        corrupted, drawn = corrupt_blind_spots(image.double(), generator)
        features = corrupted
        for layer in list(network)[:-1]:
            features = layer(features)
        blind = (~drawn).double()
        raw = features[:, :3]
        loss = (raw.sigmoid() * (1 - blind) - image.double() * (1 - blind)).abs().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        outputs.append(network(image.double()).detach())
    return outputs


def test_equals_the_textbook_over_a_stream():
    expected = textbook_detta(IMAGES, beta=0.05)
    with DeTTA(beta=0.05).bound(tiny_network().double()) as adapter:
        for image, logits in zip(IMAGES, expected, strict=True):
            torch.testing.assert_close(adapter.adapt(image.double()), logits)
    assert adapter.trace_["learning_rate"] == 0.05
    assert 0 < adapter.trace_["loss"] < 0.1


@torch.no_grad()
def test_corrupted_copies_average_probabilities():
    image = IMAGES[0].double()
    generator = torch.Generator().manual_seed(5)
    copies = [corrupt_blind_spots(image, generator)[0] for _ in range(2)]
    with build_adapter("ptbn").bound(tiny_network().double()) as ptbn:
        mean = sum(torch.sigmoid(ptbn.adapt(copy)) for copy in copies) / 2
    settings = {"beta": 0.0, "seed": 5, "predict": "before_update"}
    with DeTTA(corrupted_copies=2, **settings).bound(tiny_network().double()) as adapter:
        found = adapter.adapt(image)
        torch.testing.assert_close(torch.sigmoid(found), mean)
        assert not torch.equal(adapter.adapt(image), found)
    with DeTTA(**settings).bound(tiny_network().double()) as adapter:
        assert not torch.allclose(adapter.adapt(image), found)


@torch.no_grad()
def test_saturated_probabilities_keep_their_logits():
    network = tiny_network()
    network[-1].weight.mul_(500.0)
    with DeTTA(corrupted_copies=3, radius=0, beta=0.0).bound(network) as adapter:
        found = adapter.adapt(IMAGES[0])
        adapter.corrupted_copies = 0
        expected = adapter.adapt(IMAGES[0])
    assert expected.abs().max() > 100
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_only_encoder_and_head_move_in_the_paper_s_network():
    network = WithHeads(ResUNet34(), build_heads(["denoising"]))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    with DeTTA(beta=0.01).bound(network) as adapter:
        adapter.adapt(tiny_images(size=(64, 64))[0])
        moved = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    assert {name.split(".")[1] for name in moved} == {"encoder", "denoising"}


def test_a_network_without_denoising_head_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    with pytest.raises(ValueError, match="needs a network with a 'denoising' head"):
        DeTTA().bind(network)


@pytest.mark.parametrize(
    "settings", [{"fraction": -0.1}, {"radius": 1.5}, {"corrupted_copies": -1}, {"betas": 0.9}]
)
def test_bad_settings(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"'{name}' parameter of DeTTA"):
        DeTTA(**settings)


VARIANTS = {
    "default": DeTTA(),
    "before update": DeTTA(beta=0.05, predict="before_update"),
    "corrupted copies": DeTTA(beta=0.05, corrupted_copies=2),
}


# With corrupted copies the prediction is not that of the image, also without an update.
CASES = [
    pytest.param(adapter, check, id=f"{variant}-{check.__name__}")
    for variant, adapter in VARIANTS.items()
    for check in CHECKS
    if (variant, check.__name__) != ("corrupted copies", "check_zero_learning_rate")
]


@pytest.mark.parametrize(("adapter", "check"), CASES)
def test_contract(adapter, check):
    check(adapter)
