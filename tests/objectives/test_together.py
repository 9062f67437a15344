# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Objectives of several images in common passes against each image alone."""

from __future__ import annotations

import pytest
import torch

from grata_monai.adapters.check_tools import tiny_images, tiny_network
from grata_monai.objectives import OBJECTIVES, Consistency, Objective, build_objective
from grata_monai.objectives.together import losses_together
from grata_monai.state import BatchStatistics, apply_policy

IMAGES = [image.double() for image in tiny_images(3)]
NAMES = sorted(set(OBJECTIVES) - {"rotation", "super_resolution"})  # heads of their own


def generators():
    return [torch.Generator().manual_seed(seed) for seed in (0, 0, 1)]


def bound_network():
    network = tiny_network().eval().double()
    apply_policy(network, BatchStatistics())
    return network


@pytest.mark.parametrize("objective", [*NAMES, Consistency(views_at_once=4)], ids=str)
def test_losses_gradients_and_draws_are_those_of_each_alone(objective):
    objective, network = build_objective(objective), bound_network()
    alone, together = generators(), generators()
    weight = network[0].weight
    expected = [objective(network, x, g) for x, g in zip(IMAGES, alone, strict=True)]
    found = losses_together(objective, network, IMAGES, together)
    torch.testing.assert_close(torch.stack(found), torch.stack(expected))
    for ours, theirs in zip(found, expected, strict=True):
        (gradient,) = torch.autograd.grad(ours, weight, retain_graph=True)
        torch.testing.assert_close(gradient, *torch.autograd.grad(theirs, weight))
    for ours, theirs in zip(together, alone, strict=True):
        assert torch.equal(ours.get_state(), theirs.get_state())


def test_the_network_runs_as_often_as_for_one_image():
    network, calls = bound_network(), []
    network[0].register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    losses_together(Consistency(), network, IMAGES, generators())
    assert calls == [3] * 7


def test_passes_without_gradient_stay_so():
    class Frozen(Objective):
        def __call__(self, network, images, generator):
            with torch.no_grad():
                kept = network(images)
            return (network(2 * images) - kept).mean() + 0 * float(kept.requires_grad)

    network, seen = bound_network(), []
    network[-1].register_forward_hook(lambda m, inputs, output: seen.append(output.requires_grad))
    losses_together(Frozen(), network, IMAGES, generators())
    assert seen == [False, True]


def test_objectives_that_catch_exceptions_do_not_catch_a_call():
    class Careful(Objective):
        def __call__(self, network, images, generator):
            try:
                return network(images).mean()
            except Exception:
                return images.sum()

    network = bound_network()
    found = losses_together(Careful(), network, IMAGES, generators())
    torch.testing.assert_close(found[1], network(IMAGES[1]).mean())
