# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The stream guard: every fault, just not found and just found; nothing is left behind."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from torch import nn

from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.inferers import StreamGuard
from grata_monai.state.spread_distance import noise_spread_distance, spread_distance
from tests.inferers.noise_sources import noise_source, noises, ramp

IMAGE = tiny_images()[0]


def kind(images, network=None, **settings):
    fault = StreamGuard(**settings).inspect(images, network or tiny_network())
    return "" if fault is None else fault.kind


def with_values(count, *, of=100, value=0.5):
    """Return an image of 100 pixels, so many of which have the same value."""
    image = torch.linspace(0, 1, of).repeat(3, 1)
    image[:, :count] = value
    return image.reshape(1, 3, 10, of // 10)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_not_finite(value):
    images = torch.cat([IMAGE, IMAGE.clone()])
    images[1, 2, 0, 0] = value
    fault = StreamGuard().inspect(images, tiny_network())
    assert (fault.kind, fault.predictable) == ("not_finite", False)
    assert f"1 of {images.numel()} values" in fault.message
    images[1, 2, 0, 0] = torch.finfo(torch.float32).max
    assert kind(images) == ""


@pytest.mark.parametrize(("channels", "expected"), [(1, "channels"), (3, ""), (4, "channels")])
def test_channels(channels, expected):
    images = torch.rand(1, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    assert kind(images) == expected
    if expected:
        fault = StreamGuard().inspect(images, tiny_network())
        assert f"the image has {channels} channel(s), the network takes 3" in fault.message
        assert not fault.predictable


def test_networks_that_take_these_channels_all_the_same():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.second, self.first = nn.Conv2d(6, 2, 1), nn.Conv2d(3, 6, 1)

        def forward(self, images):
            return self.second(self.first(images))

    assert kind(IMAGE, Late()) == ""
    assert kind(IMAGE[:, :1], nn.ReLU()) == ""


def test_too_small():
    assert kind(IMAGE[..., :4, :9], smallest_side=4) == ""
    fault = StreamGuard(smallest_side=4).inspect(IMAGE[..., :9, :3], tiny_network())
    assert (fault.kind, fault.predictable) == ("too_small", True)
    assert "9x3 pixels, fewer than 4" in fault.message
    assert kind(IMAGE[..., :2, :2]) == ""
    assert kind(IMAGE[..., :1, :]) == "too_small"
    empty = StreamGuard().inspect(IMAGE[..., :0, :], tiny_network())
    assert (empty.kind, empty.predictable) == ("too_small", False)


def test_constant():
    image = torch.full((1, 3, 8, 8), 0.25)
    image[..., :4, :] += 0.00099
    fault = StreamGuard().inspect(image, tiny_network())
    assert (fault.kind, fault.predictable) == ("constant", True)
    image[..., :4, :] += 0.00002
    assert kind(image) == ""
    assert kind(image, smallest_contrast=0.0011) == "constant"


@pytest.mark.parametrize(("share", "count"), [(0.95, 95), (0.8, 80), (0.7, 70)])
def test_plain(share, count):
    assert kind(with_values(count), largest_plain_share=share) == ""
    assert kind(with_values(count + 1), largest_plain_share=share) == "constant"
    assert kind(with_values(count + 1), largest_plain_share=1.0) == ""


def test_pixels_are_plain_if_all_channels_are():
    image = with_values(96)
    image[:, 2] = torch.linspace(0, 1, 100).reshape(10, 10)
    assert kind(image) == ""


def test_foreign():
    network = noise_source()
    noise = noise_spread_distance(network, ramp())
    assert noise == pytest.approx(0.22, rel=1e-3)
    share = spread_distance(network, ramp()) / noise
    assert share > 1.5
    assert kind(ramp(), network, foreign_share=share * 1.001) == ""
    fault = StreamGuard(foreign_share=share * 0.999).inspect(ramp(), network)
    assert (fault.kind, fault.predictable) == ("foreign", True)
    assert f"the image is {share:.2f} times as far" in fault.message
    assert kind(ramp(), network, foreign_share=None) == ""


@pytest.mark.parametrize(
    ("distance", "expected"), [(0.178, ""), (0.182, "foreign"), (0.258, "foreign"), (0.262, "")]
)
def test_sources_that_do_not_know_noise_are_not_asked(distance, expected):
    assert kind(ramp(), noise_source(distance), foreign_share=0.1) == expected


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (noise_source(0.3), r"noise is 0\.30 from the source, not within 0\.18 to 0\.26"),
        (torch.nn.Conv2d(3, 2, 1), "keeps no statistics"),
        (noise_source(0.22), None),
    ],
)
def test_a_check_that_says_nothing_says_so_once(network, reason, caplog):
    guard = StreamGuard()
    for _ in range(3):
        guard.inspect(ramp(), network)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == (reason is not None)
    assert not told or re.search(f"of something else are not found .*{reason}", told[0])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_batch_with_one_bad_image_is_bad(place):
    network = noise_source()
    good = noises(3)
    assert kind(torch.cat(good), network, foreign_share=1.4) == ""
    for bad, expected in ((ramp(), "foreign"), (torch.zeros_like(ramp()), "constant")):
        images = torch.cat([*good[:place], bad, *good[place + 1 :]])
        assert kind(images, network, foreign_share=1.4) == expected


def test_cheap_checks_come_first():
    network, calls = noise_source(), []
    network.register_forward_hook(lambda *_: calls.append(1))
    for image in (torch.zeros(1, 3, 12, 12), ramp() * torch.nan, ramp()[..., :1, :1]):
        assert kind(image, network)
    assert calls == []


def test_volumes():
    network = nn.Sequential(nn.Conv3d(3, 2, 1))
    volume = tiny_images(size=(4, 5, 6))[0]
    assert kind(volume, network) == ""
    assert kind(volume[..., :1], network) == "too_small"


@pytest.mark.parametrize("images", [torch.zeros(8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)])
def test_what_is_no_batch_of_images_is_left_to_the_method(images):
    assert kind(images) == ""


@pytest.mark.parametrize("training", [True, False])
def test_network_and_random_numbers_stay_as_they_are(training):
    network = noise_source().train(training)
    before, stream = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    images = ramp()
    for given in (images, images[:, :2], torch.zeros_like(images)):
        kept = given.clone()
        StreamGuard().inspect(given, network)
        assert torch.equal(given, kept)
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(module.training is training for module in network.modules())
    assert not any("forward" in module.__dict__ for module in network.modules())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("on_fault", "stop"),
        ("smallest_side", 0),
        ("smallest_contrast", -1.0),
        ("largest_plain_share", 0.0),
        ("largest_plain_share", 1.1),
        ("foreign_share", 0.0),
    ],
)
def test_arguments_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of StreamGuard"):
        StreamGuard(**{name: value})
