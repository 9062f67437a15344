# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The forms of a method that are timed, the images they get, and the stages of their steps."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from grata_monai.adapters import build_adapter
from grata_monai.adapters.check_tools import tiny_images, tiny_network
from grata_monai.benchmark.speed import inputs, runners
from grata_monai.benchmark.speed.inputs import Images, items_of, make_source
from grata_monai.benchmark.speed.paths import parse_path
from grata_monai.benchmark.speed.runners import (
    NotOfferedError,
    package_runner,
    textbook_runner,
)
from grata_monai.benchmark.speed.stages import StageClock
from grata_monai.benchmark.speed.watching import watched
from grata_monai.networks import WithHeads
from grata_monai.objectives.consistency import Consistency
from grata_monai.objectives.entropy import Entropy

SIZE = 64


def values(network):
    return torch.cat(
        [tensor.detach().flatten().double() for tensor in network.state_dict().values()]
    )


def run(name, path, images, cpu, source=None):
    source = tiny_network() if source is None else source
    with package_runner(name, parse_path(path), source, cpu, seed=3) as runner:
        return [runner.step(image) for image in images]


@pytest.mark.parametrize("name", ["grata", "tent", "ptbn"])
def test_a_runner_of_the_package_goes_on_from_image_to_image(name, cpu):
    source, images = tiny_network(), tiny_images(3)
    before = values(source)
    found = run(name, "exact", images, cpu, source)
    adapter = build_adapter(name, seed=3)
    with adapter.bound(tiny_network()):
        expected = [adapter.adapt(image) for image in images]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert torch.equal(values(source), before)


def test_paths_of_the_package_change_what_they_say(cpu, monkeypatch):
    images = tiny_images(1, size=(16, 16))
    seen = []
    call = Consistency.teacher
    monkeypatch.setattr(
        Consistency, "teacher", lambda self, *given: seen.append(self) or call(self, *given)
    )
    exact, together, reduced = (
        run("grata", path, images, cpu)[0] for path in ("exact", "views-at-once", "bf16")
    )
    assert [objective.views_at_once for objective in seen] == [None, 6, None]
    torch.testing.assert_close(together, exact, rtol=0, atol=1e-4)
    assert reduced.dtype == torch.float32
    assert 0 < (reduced - exact).abs().max() < 0.5


def test_views_together_also_within_another_method(cpu):
    with package_runner("guard", parse_path("views-at-once"), tiny_network(), cpu, seed=0) as one:
        found = {
            part.views_at_once
            for part in runners.objectives_of(one.method)
            if isinstance(part, Consistency)
        }
    assert found == {6}


def test_batches_are_episodes_of_their_images(cpu):
    images = tiny_images(3)
    batch = run("tent", "batch3", [torch.cat(images)], cpu)[0]
    single = [run("tent", "exact", [image], cpu)[0] for image in images]
    torch.testing.assert_close(batch, torch.cat(single), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("tent", "views-at-once", "tent has no weak views"),
        ("cotta", "batch2", "cannot adapt CoTTA to several images at once$"),
    ],
)
def test_what_a_method_does_not_offer(name, path, message, cpu):
    with pytest.raises(NotOfferedError, match=message):
        run(name, path, [], cpu)


def test_a_runner_of_the_textbook(cpu, monkeypatch):
    source, images = tiny_network(), tiny_images(2)
    before = values(source)
    with textbook_runner("tent", source, cpu, seed=0) as runner, torch.no_grad():
        found = [runner.step(image) for image in images]
    for one, other in zip(found, run("tent", "exact", images, cpu), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    assert torch.equal(values(source), before)
    assert not torch.equal(values(runner.network), before)
    monkeypatch.setattr(runners.textbook, "TEXTBOOK", {})
    with pytest.raises(NotOfferedError, match="no textbook form"):
        with textbook_runner("tent", source, cpu, seed=0):
            pass


# -- stages -----------------------------------------------------------------------------------


class Weighed:
    """A clock that each layer of a network moves by one, and the loss of the entropy by none."""

    def __init__(self, network):
        self.now = 0.0
        network[0].register_forward_hook(self.tick)

    def tick(self, *_):
        self.now += 1.0


def stages_of(manager, images):
    with manager as runner:
        weighed = Weighed(runner.network)
        clock = StageClock(lambda: weighed.now)
        with watched(clock, runner, passes=True), clock.running():
            runner.step(images)
        assert "forward" not in vars(runner.network)
    return clock.seconds


def test_passes_of_grata_by_stage(cpu):
    source, (image,) = tiny_network(), tiny_images(1)
    expected = {"entropy": 1, "weak views": 6, "strong view": 1, "prediction": 1}
    others = dict.fromkeys(("augmentation", "backward", "rest"), 0)
    exact = package_runner("grata", parse_path("exact"), source, cpu, seed=0)
    assert stages_of(exact, image) == expected | others
    assert stages_of(textbook_runner("grata", source, cpu, seed=0), image) == expected | others
    for owner in (Entropy, Consistency):
        assert not hasattr(vars(owner)["__call__"], "__wrapped__")
    assert not hasattr(torch.autograd.grad, "__wrapped__")


def test_passes_without_a_stage_of_their_own(cpu):
    source, (image,) = tiny_network(), tiny_images(1)
    others = dict.fromkeys(("backward", "rest"), 0)
    assert stages_of(textbook_runner("tent", source, cpu, seed=0), image) == {
        "forward": 1,
        "forward without gradient": 1,
        **others,
    }
    cotta = stages_of(package_runner("cotta", parse_path("exact"), source, cpu, seed=0), image)
    # The source and 32 views; the student; the teacher's prediction.
    assert (cotta["forward without gradient"], cotta["forward"], cotta["prediction"]) == (33, 1, 1)


# -- images and networks ----------------------------------------------------------------------


def test_synthetic_images_come_again_after_the_last(cpu):
    with items_of(None, count=2, size=SIZE, seed=0) as items:
        images = Images(items, size=32, roi_size=800, device=cpu)
        batch = images.batch(0, 3)
        assert torch.equal(images.read(1, 2), batch[1:])
    assert len(images) == 2
    assert batch.shape == (3, 3, 32, 32)
    assert (batch.min(), batch.max()) == (0, 1)
    assert torch.equal(batch[0], batch[2])
    assert not torch.equal(batch[0], batch[1])
    assert torch.equal(images.batch(0, 2), batch[:2])  # without the files
    with pytest.raises(RuntimeError) as caught:
        images.read(0)
    assert "synthetic_b_0000.png" in str(caught.value.__cause__)


def test_images_of_a_data_set(dataset, cpu):
    with items_of(dataset, domain="Synthetic_B", count=2, size=32, seed=0) as items:
        assert [sorted(item) for item in items] == [["image"]] * 2
        assert all("Synthetic_B" in item["image"] for item in items)
        assert Images(items, size=SIZE, roi_size=800, device=cpu).batch(0).shape[-1] == SIZE
    with pytest.raises(ValueError, match="Synthetic_A"):
        with items_of(dataset, count=2, size=32, seed=0):
            pass


def test_random_source_networks(monkeypatch):
    def source_network(*, heads):
        layers = {"norm": nn.BatchNorm2d(3), "output": nn.Conv2d(3, 2, 1)}
        return nn.Sequential(OrderedDict(layers))

    monkeypatch.setattr(inputs, "source_network", source_network)
    state = torch.get_rng_state()
    first, again, other = (make_source("source", None, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(values(first), values(again))
    assert not torch.equal(values(first), values(other))
    assert not any(module.training for module in first.modules())


def test_a_random_source_network_is_plausible():
    network = make_source("detta", None, seed=0)
    assert isinstance(network, WithHeads)
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        deviation, mean = torch.std_mean(network(images), dim=(0, 2, 3))
        layer = network.network.encoder.bn1
        found = network.network.encoder.conv1(images)
    assert layer.momentum == 0.1
    torch.testing.assert_close(mean, torch.full((2,), -4.0), rtol=0, atol=0.7)
    torch.testing.assert_close(deviation, torch.full((2,), 2.0), rtol=0, atol=0.7)
    torch.testing.assert_close(layer.running_mean, found.mean((0, 2, 3)), rtol=0.05, atol=0.02)
    torch.testing.assert_close(layer.running_var, found.var((0, 2, 3)), rtol=0.05, atol=0.02)


def test_source_networks_have_the_heads_that_a_method_needs(weights):
    network = make_source("grata", weights, seed=0)
    state = torch.load(weights, weights_only=True)
    name, parameter = next(iter(network.named_parameters()))
    assert torch.equal(state[name], parameter)
    with pytest.raises(ValueError, match="head"):
        make_source("detta", weights, seed=0)
