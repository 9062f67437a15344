# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The textbook forms of the other methods against the package's, given the same random draws."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from grata_monai.adapters import build_adapter
from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.benchmark.textbook import (
    dltta,
    guard,
    intent,
    sar,
    source_colors,
    statistics_choice,
    vptta,
)
from grata_monai.benchmark.textbook.detta import BlindSpots, DeTTA
from grata_monai.benchmark.textbook.dltta import DLTTA
from grata_monai.benchmark.textbook.domain_adaptor import DomainAdaptor
from grata_monai.benchmark.textbook.grata import GraTa
from grata_monai.benchmark.textbook.guard import Guard
from grata_monai.benchmark.textbook.intent import InTEnt
from grata_monai.benchmark.textbook.pass_ import Pass
from grata_monai.benchmark.textbook.sar import SAR
from grata_monai.benchmark.textbook.statistics_choice import StatisticsChoice
from grata_monai.benchmark.textbook.tent import Tent
from grata_monai.benchmark.textbook.vptta import VPTTA
from grata_monai.networks import ResUNet34, WithHeads, build_heads
from grata_monai.networks.prompts import draw_prompts
from grata_monai.transforms import StrongView
from grata_monai.transforms.degrade import corrupt_blind_spots

RIVALS = {
    "detta": DeTTA,
    "dltta": DLTTA,
    "domain_adaptor": DomainAdaptor,
    "guard": Guard,
    "intent": InTEnt,
    "pass": Pass,
    "sar": SAR,
    "statistics_choice": StatisticsChoice,
    "vptta": VPTTA,
}
# The package rounds the weights of this one to single precision.
ROUNDED = {"statistics_choice": 1e-6}
BETAS = {"detta": 0.05, "domain_adaptor": 0.5, "guard": 0.01, "pass": 0.1, "sar": 0.2, "vptta": 0.3}


class Draws:
    """What an adapter of that seed draws."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def corrupt(self, image):
        return corrupt_blind_spots(image, self.generator)

    def prompts(self, image, features):
        return draw_prompts(image, features, self.generator)


class StrongDraws(Draws):
    """The strong view; a copy, as the guard makes of its method, goes on from where this one is."""

    def __deepcopy__(self, memo):
        copied = StrongDraws(0)
        copied.generator.set_state(self.generator.get_state())
        return copied

    def __call__(self, image):
        return StrongView()(image, self.generator)


def textbook(name, network, *, seed=0, **settings):
    """Return a textbook method with the package's draws."""
    if name == "detta":
        settings["corrupt"] = Draws(seed).corrupt
    if name == "pass":
        settings["draw"] = Draws(seed).prompts
    if name == "guard" and "method" not in settings:
        beta = settings.pop("beta", 1e-4)
        settings["method"] = lambda n: GraTa(n, beta=beta, strong_view=StrongDraws(seed))
    return RIVALS[name](network, seed=seed, **settings)


def half_full(network, images):
    """Return the network with biases at which masks are about half full."""
    with torch.no_grad():
        logits = torch.cat([network(image) for image in images])
        network[-1].bias.sub_(logits.transpose(0, 1).flatten(1).quantile(0.5, dim=1))
    return network


def double_images(count=3, size=(12, 12)):
    return [image.double() for image in tiny_images(count, size=size)]


def double_network(images, gain=8.0):
    """Return a tiny network that is sure of some pixels, in float64."""
    network = tiny_network().double().eval()
    with torch.no_grad():
        network[-1].weight.mul_(gain)
    return half_full(network, images)


def compare(name, network, images, *, rtol=1e-9, mine=None, **settings):
    """Return logits and traces of the adapter after comparing the textbook's logits with them."""
    results = []
    with build_adapter(name, seed=3, **settings).bound(network) as adapter:
        for image in images:
            results.append((adapter.adapt(image), dict(adapter.trace_)))
        state = adapter.state_dict()["method"]
    method = textbook(name, network, seed=3, **(settings if mine is None else mine))
    for image, (logits, _) in zip(images, results, strict=True):
        given = image.clone()
        found = method.step(image)
        assert not found.requires_grad
        assert torch.equal(image, given)
        torch.testing.assert_close(found, logits, rtol=rtol, atol=rtol)
    if name == "pass":  # whose prediction may be the source's
        torch.testing.assert_close(method.target, dict(state["target"]), rtol=rtol, atol=rtol)
    return results


def alone(name, network, images):
    with build_adapter(name).bound(network) as adapter:
        return [adapter.adapt(image) for image in images]


@pytest.mark.parametrize("name", RIVALS)
def test_equals_the_adapter_by_default(name):
    images = double_images()
    network = double_network(images)
    results = compare(name, network, images, rtol=ROUNDED.get(name, 1e-9))
    for other in ("source", "ptbn"):
        pairs = zip(results, alone(other, network, images), strict=True)
        differences = [float((logits - plain).abs().max()) for (logits, _), plain in pairs]
        assert max(differences) > 1e-5 or (name, other) == ("pass", "source")  # chosen each time


@pytest.mark.parametrize("name", BETAS)
def test_equals_the_adapter_where_steps_are_large(name):
    images = double_images(size=(12, 16))
    network = double_network(images)
    results = compare(name, network, images, beta=BETAS[name])
    defaults = compare(name, network, images)
    assert (results[-1][0] - defaults[-1][0]).abs().max() > 1e-3


def test_sar_takes_reliable_pixels_only():
    images = double_images()
    results = compare("sar", double_network(images, gain=6.0), images, beta=0.2)
    for _, trace in results:
        assert 0.0 < trace["climbed_reliable"] < trace["reliable"] < 1.0


def test_sar_makes_no_step_without_reliable_pixels():
    images = double_images()
    network = double_network(images, gain=0.01)
    results = compare("sar", network, images)
    assert all(trace["reliable"] == 0.0 for _, trace in results)
    torch.testing.assert_close(results[-1][0], alone("ptbn", network, images)[-1])


def test_dltta_compares_with_the_memory():
    images = double_images(24)
    images[2] = images[2][..., :8].contiguous()  # not alike
    results = compare("dltta", double_network(images[:1]), images, beta=0.01)
    known = [not math.isnan(trace["discrepancy"]) for _, trace in results]
    assert known.index(True) == 9
    assert len({trace["learning_rate"] for _, trace in results}) == sum(known) + 1


def test_vptta_reads_its_memory():
    images = double_images(18)
    compare("vptta", double_network(images[:1]), images)


@pytest.mark.parametrize("size", [(202, 13), (12, 307)], ids=["2x1", "1x3"])
def test_vptta_places_a_window_of_several_frequencies(size):
    images = double_images(2, size=size)
    compare("vptta", double_network(images[:1]), images)


def test_vptta_starts_anew_where_sizes_change():
    images = [*double_images(2), *double_images(2, size=(200, 16))]
    compare("vptta", double_network(images[:1]), images)


def test_pass_resizes_its_prompt_and_chooses():
    images = [*double_images(2), *double_images(3, size=(10, 16))]
    network = double_network(images[:1])
    results = compare("pass", network, images)
    pairs = zip(results, alone("source", network, images), strict=True)
    assert {torch.equal(logits, plain) for (logits, _), plain in pairs} == {True, False}


def test_guard_takes_some_updates_back():
    images = double_images(6)
    network = double_network(images)
    results = compare("guard", network, images, beta=0.03, max_change=0.03)
    accepted = [trace["accepted"] for _, trace in results]
    assert 0.0 < sum(accepted) < len(accepted)


def test_guard_watches_the_entropy(monkeypatch):
    images = double_images()
    monkeypatch.setattr(guard, "TOLERANCE", -1e9)
    method = Guard(double_network(images))
    expected = alone("ptbn", double_network(images), images)
    for image, logits in zip(images, expected, strict=True):
        torch.testing.assert_close(method.step(image), logits)


@pytest.mark.parametrize("name", ["guard", "statistics_choice"])
def test_another_method_inside(name):
    images = double_images()
    network = double_network(images)
    mine = {"method": lambda inner: Tent(inner, beta=0.05)}
    settings = {"adapter": "tent", "beta": 0.05, "mine": mine}
    compare(name, network, images, rtol=ROUNDED.get(name, 1e-9), **settings)


def test_empty_masks_count_alike():
    images = double_images()
    network = double_network(images)
    with torch.no_grad():
        network[-1].bias.sub_(15.0)
    for name in ("intent", "statistics_choice"):
        compare(name, network, images, rtol=ROUNDED.get(name, 1e-9))


def test_flat_channels_are_only_shifted():
    images = double_images()
    for image in images:
        image[:, 1] = 0.25
    compare("statistics_choice", double_network(images), images, rtol=1e-6)


WRONG = [
    ("dltta", dltta, "MEMORY_SIZE", 12),
    ("dltta", dltta, "NEIGHBOURS", 9),
    ("dltta", dltta, "TEMPERATURE", 3.9),
    ("intent", intent, "LEVELS", 5),
    ("sar", sar, "RELIABLE", 0.25),
    ("sar", sar, "RHO", 0.06),
    ("statistics_choice", source_colors, "RIDGE", 0.03),
    ("statistics_choice", source_colors, "SPREAD", 1.0),
    ("statistics_choice", statistics_choice, "SHARPNESS", 2.1),
    ("statistics_choice", statistics_choice, "TRUST", 31.0),
    ("vptta", vptta, "NEIGHBOURS", 15),
]


@pytest.mark.parametrize(("name", "module", "constant", "value"), WRONG)
def test_wrong_constants_are_noticed(monkeypatch, name, module, constant, value):
    monkeypatch.setattr(module, constant, value)
    images = double_images(19 if name in ("dltta", "vptta") else 3)
    with pytest.raises(AssertionError, match="not close"):
        compare(name, double_network(images[:3]), images, rtol=ROUNDED.get(name, 1e-9))


@pytest.mark.parametrize("name", ["detta", "pass"])
def test_own_draws_follow_the_seed(name):
    images = double_images()
    network, settings = double_network(images), {"beta": 0.05}
    first, same, other = (
        RIVALS[name](network, seed=seed, **settings).step(images[0]) for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_own_blind_spots():
    image = torch.arange(3 * 40 * 50.0).reshape(1, 3, 40, 50)
    corrupted, drawn = BlindSpots(0)(image)
    assert 0.08 < drawn.double().mean() <= 0.1
    rows, columns = torch.meshgrid(torch.arange(40), torch.arange(50), indexing="ij")
    source = corrupted[0, 0].long()
    for found, own, size in ((source // 50, rows, 40), (source % 50, columns, 50)):
        distance = (found - own).abs()
        assert torch.minimum(distance, size - distance).unique().tolist() == [0, 1, 2]
    assert torch.equal(corrupted[:, 1:] - corrupted[:, :1], image[:, 1:] - image[:, :1])
    assert not (corrupted != image)[~drawn.expand_as(image)].any()


def test_detta_says_that_it_needs_a_head():
    with pytest.raises(ValueError, match="'denoising' head, which Sequential has not"):
        DeTTA(nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)))
    with pytest.raises(ValueError, match="which WithHeads has not"):
        DeTTA(WithHeads(tiny_network(), build_heads(["rotation"], in_channels=6)))


@pytest.fixture(scope="module")
def papers_network():
    torch.manual_seed(0)
    network = WithHeads(ResUNet34(), build_heads(["denoising"])).double().train()
    with torch.no_grad():
        for _ in range(2):  # running statistics that differ from layer to layer
            images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
            network(images)
            network.head("denoising", images)
    return network.eval()


@pytest.mark.parametrize("name", ["detta", "dltta", "pass", "sar", "statistics_choice", "vptta"])
def test_equals_the_adapter_on_the_papers_network(papers_network, name):
    network = papers_network if name == "detta" else papers_network.network
    settings = {"beta": 10 * BETAS[name]} if name in ("detta", "sar") else {}
    image = double_images(1, size=(64, 64))
    compare(name, network, image, rtol=ROUNDED.get(name, 1e-6), **settings)
