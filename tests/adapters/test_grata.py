# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""GraTa: the algorithm step by step, its limits, and a committed golden stream."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from grata_monai.adapters import GraTa
from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.objectives import Consistency, Objective
from tests.parity.golden_stream import golden_images, golden_network, golden_strong_views
from tests.parity.textbook import textbook_grata

GOLDEN = Path(__file__).parents[1] / "goldens" / "grata_tiny.json"


def fixed(views):
    iterator = iter(views)
    return Consistency(strong=lambda images, generator: next(iterator))


def test_equals_the_textbook_over_a_stream():
    images, strong = tiny_images(4), tiny_images(4, seed=9)
    expected = textbook_grata(tiny_network(), images, strong, beta=0.05)
    with GraTa(pseudo=fixed(strong), beta=0.05).bound(tiny_network()) as adapter:
        for image, (logits, numbers) in zip(images, expected, strict=True):
            torch.testing.assert_close(adapter.adapt(image), logits, rtol=1e-4, atol=1e-5)
            for name in set(numbers) & set(adapter.trace_):
                assert adapter.trace_[name] == pytest.approx(numbers[name], rel=1e-4), name


def test_committed_golden_stream():
    steps = json.loads(GOLDEN.read_text())["steps"]
    adapter = GraTa(pseudo=fixed(golden_strong_views()), beta=0.05)
    with adapter.bound(golden_network().double()):
        for image, expected in zip(golden_images(), steps, strict=True):
            found = {"mean_logit": adapter.adapt(image).mean().item(), **adapter.trace_}
            for name, value in expected.items():
                assert found[name] == pytest.approx(value, rel=1e-6), name


def test_student_equals_teacher_for_an_equivariant_network():
    """Without a strong view and with a 1x1 network, g_p = 0: cosine 0, rate β/4, no motion."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)
    ).double()
    before = [p.detach().clone() for p in network.parameters()]
    consistency = Consistency(strong=lambda images, generator: images)
    with GraTa(pseudo=consistency, beta=0.1).bound(network) as adapter:
        adapter.adapt(tiny_images()[0].double())
        assert adapter.trace_["pseudo_norm"] == pytest.approx(0.0, abs=1e-12)
        assert adapter.trace_["cosine"] == pytest.approx(0.0, abs=1e-3)
        assert adapter.trace_["learning_rate"] == pytest.approx(0.1 / 4, rel=1e-2)
        for parameter, value in zip(network.parameters(), before, strict=True):
            torch.testing.assert_close(parameter.detach(), value, rtol=0, atol=1e-6)


class Linear(Objective):
    """Loss with a chosen, constant gradient on the BN shift."""

    def __init__(self, *, direction):
        self.direction = torch.tensor(direction)

    def __call__(self, network, images, generator):
        return (network[1].bias * self.direction).sum()


@pytest.mark.parametrize(
    ("pseudo", "mapping", "rate"),
    [
        ([2.0, 4.0], "quadratic", 1.0),
        ([-1.0, -2.0], "quadratic", 0.0),
        ([2.0, -1.0], "quadratic", 0.25),
        ([2.0, -1.0], "linear", 0.5),
        ([-1.0, -2.0], "relu", 0.0),
        ([-1.0, -2.0], "constant", 1.0),
        ([2.0, 4.0], "softplus", 1.3133),
        ([2.0, 4.0], "sigmoid", 0.7311),
    ],
)
def test_rate_from_the_angle_of_the_gradients(pseudo, mapping, rate):
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    settings = {"auxiliary": Linear(direction=[1.0, 2.0]), "pseudo": Linear(direction=pseudo)}
    with GraTa(**settings, mapping=mapping, beta=0.01).bound(network) as adapter:
        adapter.adapt(tiny_images()[0])
        assert adapter.trace_["learning_rate"] == pytest.approx(0.01 * rate, abs=1e-6)
        expected = -0.01 * rate * torch.tensor(pseudo).sign()
        torch.testing.assert_close(network[1].bias.detach(), expected, rtol=1e-4, atol=1e-7)


class Recording(Objective):
    """Keeps the parameters that the network has when the loss is computed."""

    def __init__(self, *, objective, scale=1.0):
        self.objective = objective
        self.scale = scale
        self.seen = []

    def __call__(self, network, images, generator):
        self.seen.append(network[1].bias.detach().clone())
        return self.scale * self.objective(network, images, generator)


def shifts(scale):
    auxiliary = Recording(objective=Linear(direction=[1.0, 2.0]), scale=scale)
    pseudo = Recording(objective=Linear(direction=[1.0, 1.0]))
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    with GraTa(auxiliary=auxiliary, pseudo=pseudo, beta=0.0).bound(network) as adapter:
        adapter.adapt(tiny_images()[0])
        assert torch.equal(network[1].bias.detach(), auxiliary.seen[0])
    return auxiliary.seen[0] - pseudo.seen[0]


def test_the_auxiliary_step_is_the_plain_gradient_and_scales_with_the_loss():
    assert torch.equal(shifts(1.0), torch.tensor([1.0, 2.0]))
    assert torch.equal(shifts(2.0), torch.tensor([2.0, 4.0]))


def test_the_cosine_does_not_depend_on_the_scale_of_the_pseudo_loss():
    cosines = []
    for scale in (1.0, 10.0):
        pseudo = Recording(objective=fixed(tiny_images(seed=9)), scale=scale)
        with GraTa(pseudo=pseudo).bound(tiny_network()) as adapter:
            adapter.adapt(tiny_images()[0])
        cosines.append(adapter.trace_["cosine"])
    assert cosines[0] == pytest.approx(cosines[1], rel=1e-4)


def test_adam_counts_images_and_counts_anew_after_reset():
    def steps(adapter):
        return set(map(int, adapter.state_dict()["method"]["optimizer"]["step"]))

    with GraTa().bound(tiny_network()) as adapter:
        for image in tiny_images(3):
            adapter.adapt(image)
        assert steps(adapter) == {3}
        adapter.reset()
        assert steps(adapter) == {0}


def test_different_seeds_differ():
    images = tiny_images(2)
    results = []
    for seed in (0, 1):
        with GraTa(seed=seed, beta=0.1).bound(tiny_network()) as adapter:
            results.append([adapter.adapt(image) for image in images])
    assert not torch.equal(results[0][0], results[1][0])


def test_beta_decides_how_far_the_network_moves():
    """A control: at a large β the prediction moves, at 0 it is that of the statistics alone."""
    image = tiny_images()[0]
    outputs = {}
    for beta in (0.0, 1e-4, 0.5):
        with GraTa(beta=beta).bound(tiny_network()) as adapter:
            outputs[beta] = adapter.adapt(image)
    small = (outputs[1e-4] - outputs[0.0]).abs().max()
    large = (outputs[0.5] - outputs[0.0]).abs().max()
    assert 0 < small < 0.01 < large


def test_a_missing_head_is_named_when_the_network_is_bound():
    with pytest.raises(ValueError, match="Rotation needs a network with a 'rotation'"):
        GraTa(auxiliary="rotation").bind(tiny_network())
