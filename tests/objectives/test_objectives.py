# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Objectives against their formulas computed another way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.objectives import (
    OBJECTIVES,
    Consistency,
    Denoising,
    Entropy,
    Reconstruction,
    Rotation,
    SuperResolution,
    build_objective,
)
from grata_monai.state import BatchStatistics, MedianStatistics, apply_policy
from grata_monai.transforms.geometry import WEAK_VIEWS
from tests.parity.textbook import consistency as textbook_consistency

IMAGES = tiny_images()[0]
SQUARES = torch.cat(tiny_images(2, size=(8, 8)))


class Headed(nn.Module):
    """A network whose heads return what they were given, or chosen logits."""

    def __init__(self):
        super().__init__()
        self.heads = dict.fromkeys(("reconstruction", "denoising", "super_resolution", "rotation"))
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.seen = []

    def head(self, name, images):
        self.seen.append((name, images))
        if name == "rotation":
            return self.scale * torch.arange(6.0).repeat(len(images), 1)
        if name == "super_resolution":
            return self.scale * nn.functional.interpolate(images, scale_factor=2)
        return self.scale * images


@pytest.mark.parametrize("kind", ["one_sided", "binary"])
def test_entropy_sums_channels_and_averages_pixels(kind, generator):
    network = tiny_network().eval()
    images = torch.cat(tiny_images(2))
    p = torch.sigmoid(network(images)).detach().double().numpy()
    expected = -p * np.log(p + 1e-6)
    if kind == "binary":
        expected = -p * np.log(p) - (1 - p) * np.log(1 - p)
    found = Entropy(kind=kind)(network, images, generator).item()
    assert found == pytest.approx(expected.sum(axis=1).mean(), rel=1e-5)


def test_consistency_equals_the_textbook(generator):
    network = tiny_network().eval()
    strong = tiny_images(seed=5)[0]
    expected = textbook_consistency(network, IMAGES, strong)
    found = Consistency(strong=lambda images, generator: strong)(network, IMAGES, generator)
    torch.testing.assert_close(found, expected)


def test_consistency_teacher_averages_probabilities_and_has_no_gradient():
    network = tiny_network().eval()
    teacher = Consistency().teacher(network, IMAGES)
    assert not teacher.requires_grad
    views = [v.invert(torch.sigmoid(network(v.apply(IMAGES)))) for v in WEAK_VIEWS]
    torch.testing.assert_close(teacher, torch.stack(views).mean(0).detach())


@pytest.mark.parametrize("policy", [BatchStatistics, MedianStatistics, None])
@pytest.mark.parametrize("size", [(8, 8), (8, 12)])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_views_at_once_are_those_one_by_one(policy, size, count, dtype, tolerance):
    network, batches = tiny_network().eval().to(dtype), []
    if policy is not None:
        apply_policy(network, policy())
    network.register_forward_hook(lambda module, inputs, output: batches.append(len(output)))
    images = torch.cat(tiny_images(count, size=size)).to(dtype)
    expected = Consistency().teacher(network, images)
    assert batches == [count] * 6  # on the CPU
    for at_once, squares, others in ((2, [2] * 3, [2] * 3), (6, [6], [4, 2]), (4, [4, 2], [4, 2])):
        batches.clear()
        found = Consistency(views_at_once=at_once).teacher(network, images)
        torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
        assert batches == [count * n for n in (squares if size == (8, 8) else others)]


def test_views_run_one_by_one_where_they_would_be_mixed():
    network, batches = tiny_network().train(), []
    network.register_forward_hook(lambda module, inputs, output: batches.append(len(output)))
    Consistency(views_at_once=6).teacher(network, IMAGES)
    assert batches == [1] * 6


def test_consistency_survives_a_network_that_changes_its_input():
    def spoil(module, inputs):
        inputs[0].mul_(0)

    network, images = tiny_network().eval(), IMAGES.clone()
    network.register_forward_hook(lambda module, inputs, output: spoil(module, inputs))
    Consistency().teacher(network, images)
    assert torch.equal(images, IMAGES)


def test_consistency_draws_from_the_given_generator_only():
    network = tiny_network().eval()
    global_state = torch.get_rng_state()
    first, second = (
        Consistency()(network, IMAGES, torch.Generator().manual_seed(3)).item() for _ in range(2)
    )
    assert first == second
    assert torch.equal(torch.get_rng_state(), global_state)
    other = Consistency()(network, IMAGES, torch.Generator().manual_seed(4)).item()
    assert other != first


def test_reconstruction(generator):
    network = Headed()
    expected = ((torch.sigmoid(SQUARES) - SQUARES) ** 2).mean()
    torch.testing.assert_close(Reconstruction()(network, SQUARES, generator), expected)


def test_denoising_adds_noise_and_compares_with_the_clean_image(generator):
    network = Headed()
    images = torch.rand(1, 3, 64, 64, generator=generator)
    loss = Denoising(std=0.1)(network, images, generator)
    ((name, noisy),) = network.seen
    noise = noisy - images
    assert name == "denoising"
    assert noise.std().item() == pytest.approx(0.1, rel=0.03)
    assert noise.mean().item() == pytest.approx(0.0, abs=0.005)
    torch.testing.assert_close(loss, ((torch.sigmoid(noisy) - images) ** 2).mean())


def test_super_resolution_sees_half_the_side(generator):
    network = Headed()
    loss = SuperResolution()(network, SQUARES, generator)
    ((_, small),) = network.seen
    assert small.shape == (2, 3, 4, 4)
    # aligned corners: the four corner pixels are those of the image
    assert torch.equal(
        small[..., [0, 0, -1, -1], [0, -1, 0, -1]], SQUARES[..., [0, 0, -1, -1], [0, -1, 0, -1]]
    )
    assert loss.item() > 0


def test_rotation_asks_for_the_view_that_was_applied():
    network = Headed()
    order = (*WEAK_VIEWS[1:], WEAK_VIEWS[0])
    seen = set()
    for seed in range(40):
        network.seen.clear()
        loss = Rotation()(network, SQUARES[:1], torch.Generator().manual_seed(seed))
        ((_, turned),) = network.seen
        (label,) = [
            i for i, view in enumerate(order) if torch.equal(view.apply(SQUARES[:1]), turned)
        ]
        log_sum = np.log(np.exp(np.arange(6)).sum())
        assert loss.item() == pytest.approx(log_sum - label, rel=1e-5)
        seen.add(label)
    assert seen == set(range(6))


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_objectives_by_name_keep_the_images_and_have_a_gradient(name, generator):
    objective = build_objective(name)
    network = Headed() if objective.required_head else tiny_network().eval()
    kept = SQUARES.clone()
    loss = objective(network, SQUARES, generator)
    assert loss.ndim == 0
    assert loss.requires_grad
    assert torch.equal(SQUARES, kept)
    objective.check(network)
    assert name.split("_")[0] in repr(objective).lower()


def test_errors():
    with pytest.raises(ValueError, match="did you mean 'entropy'"):
        build_objective("entropi")
    with pytest.raises(ValueError, match="'kind' parameter of Entropy"):
        Entropy(kind="softmax")
    with pytest.raises(ValueError, match="'std' parameter of Denoising"):
        Denoising(std=-1)
    with pytest.raises(ValueError, match="'views' parameter of Consistency"):
        Consistency(views=())
    with pytest.raises(ValueError, match="'views_at_once' parameter of Consistency"):
        Consistency(views_at_once=0)
    with pytest.raises(ValueError, match="Rotation needs a network with a 'rotation' head"):
        Rotation().check(tiny_network())
