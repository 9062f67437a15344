# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Finding the disc with a network whose output is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from grata_monai.localization import locate_disc
from grata_monai.localization import network as network_module
from grata_monai.localization.network import NetworkLocator
from tests.localization.test_classical import distance, draw


@pytest.fixture(scope="module", autouse=True)
def each_photograph_once():
    """Spare the classical search of a photograph that was searched before: it takes the time."""
    known = {}

    def locate(photograph, **options):
        key = photograph.tobytes()
        if key not in known:
            known[key] = locate_disc(photograph, **options)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network_module, "locate_disc", locate)
        yield


class Blue(nn.Module):
    """Sees a disc where the blue channel of its normalized input is above one half."""

    def __init__(self, scale=40.0):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.scale = nn.Parameter(torch.tensor(scale))
        self.grad_was_enabled = []
        self.sizes = []

    def forward(self, images):
        self.grad_was_enabled.append(torch.is_grad_enabled())
        self.sizes.append(tuple(images.shape))
        blue = self.norm(images)[:, 2:]
        return torch.cat([self.scale * (blue - 0.5), blue], dim=1)


@pytest.fixture
def photograph():
    """The disc is at (100, 90); what the network takes for it is a square beside it."""
    photograph = draw()
    photograph[..., 2] = 0
    photograph[97:112, 91:106, 2] = 255
    return photograph


@pytest.fixture
def build():
    def build(network, **options):
        options = {"image_size": 64, "roi_size": 64, **options}
        return NetworkLocator(network=network, **options)

    return build


@pytest.mark.parametrize("image_size", [64, 128, 32])
def test_the_center_is_the_centroid_of_what_the_network_sees(build, photograph, image_size):
    found = build(Blue(), image_size=image_size)(photograph)
    # rows 97..111, columns 91..105
    assert distance(found, (104, 98)) < (0.2 if image_size >= 64 else 1.0)
    assert (found.method, found.note) == ("network", "")
    assert 0.5 < found.confidence <= 1
    assert found.candidates == locate_disc(photograph).candidates


def test_holes_are_filled_and_other_parts_left_out(build, photograph):
    photograph[102:107, 92:96, 2] = 0
    photograph[80:84, 80:84, 2] = 255
    assert distance(build(Blue())(photograph), (104, 98)) < 0.2


def test_a_window_over_the_border(build):
    photograph = draw(center=(90, 25))
    photograph[..., 2] = 0
    photograph[85:100, 20:31, 2] = 255
    assert distance(build(Blue())(photograph), (92, 25)) < 0.2


def test_less_agreement_is_less_confident(build, photograph):
    class Drifting(Blue):
        def forward(self, images):
            shifted = torch.roll(images, len(self.sizes), dims=3)
            return super().forward(shifted)

    steady, drifting = build(Blue())(photograph), build(Drifting())(photograph)
    assert drifting.confidence < steady.confidence


def test_no_disc_falls_back_to_the_classical_place(build, photograph):
    classical = locate_disc(photograph)
    photograph[..., 2] = 0
    found = build(Blue())(photograph)
    assert found.center == classical.center
    assert found.method == "classical"
    assert "the network saw no disc" in found.note
    assert found.confidence == pytest.approx(0.5 * classical.confidence)


def test_nothing_to_see_is_not_shown_to_the_network(build):
    network = Blue()
    found = build(network)(np.full((50, 60, 3), 7, dtype=np.uint8))
    assert found.confidence == 0
    assert "one color" in found.note
    assert not network.sizes


@pytest.mark.parametrize("statistics", ["source", "batch"])
def test_the_network_is_given_back_as_it_was(build, photograph, statistics):
    network = Blue()
    network.train()
    network.norm.eval()
    network.scale.requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    build(network, statistics=statistics)(photograph)
    assert network.training
    assert not network.norm.training
    assert not network.scale.requires_grad
    assert network.norm.weight.requires_grad
    assert "forward" not in network.norm.__dict__
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(network.grad_was_enabled)
    assert torch.is_grad_enabled()
    assert set(network.sizes) == {(1, 3, 64, 64)}


def test_batch_statistics_are_the_windows(build, photograph):
    network = Blue()
    network.norm.running_mean.fill_(5.0)  # the source's statistics hide the disc
    assert build(network)(photograph).method == "classical"
    found = build(network, statistics="batch")(photograph)
    assert found.method == "network"
    assert distance(found, (104, 98)) < 0.2


def test_the_network_is_given_back_after_an_error(build, photograph):
    network = nn.Sequential(nn.BatchNorm2d(3), nn.AvgPool2d(2)).train()
    with pytest.raises(ValueError, match="output has its input's size"):
        build(network, statistics="batch")(photograph)
    assert all(module.training for module in network.modules())
    assert "forward" not in network[0].__dict__


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 8}, "'image_size' parameter of NetworkLocator"),
        ({"roi_size": 0}, "'roi_size' parameter of NetworkLocator"),
        ({"statistics": "bach"}, "did you mean 'batch'"),
    ],
)
def test_refuses_options(build, options, message):
    with pytest.raises(ValueError, match=message):
        build(Blue(), **options)
