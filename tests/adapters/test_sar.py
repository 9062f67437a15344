# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""SAR against a plain implementation, its filter, climb and reset by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from grata_monai.adapters import SAR, build_adapter
from grata_monai.adapters.checks import CHECKS, tiny_images, tiny_network
from tests.parity.textbook import prepare

IMAGES = tiny_images(5)


def sharp_network(factor=6.0):
    """The tiny network with logits so large that many pixels are reliable and many are not."""
    network = tiny_network().double()
    with torch.no_grad():
        for parameter in network[-1].parameters():
            parameter.mul_(factor)
    return network


def textbook_entropy(network, image):
    p = torch.sigmoid(network(image))
    return -p * p.log() - (1 - p) * (1 - p).log()


def textbook_sar(images, *, beta, rho=0.05, factor=0.4):
    network, parameters = prepare(sharp_network())
    sgd = torch.optim.SGD(parameters, lr=beta, momentum=0.9)
    outputs, climbs = [], []
    for image in images:
        image = image.double()
        entropies = textbook_entropy(network, image)
        first = entropies < factor * math.log(2)
        sgd.zero_grad()
        entropies[first].mean().backward()
        norm = sum(p.grad.square().sum() for p in parameters).sqrt()
        saved = [p.detach().clone() for p in parameters]
        with torch.no_grad():
            for p in parameters:
                p.add_(rho * p.grad / (norm + 1e-12))
            distance = sum((p - s).square().sum() for p, s in zip(parameters, saved, strict=True))
        climbs.append(distance.sqrt().item())
        entropies = textbook_entropy(network, image)
        kept = entropies[first]
        sgd.zero_grad()
        kept[kept < factor * math.log(2)].mean().backward()
        with torch.no_grad():
            for p, value in zip(parameters, saved, strict=True):
                p.copy_(value)
        sgd.step()
        outputs.append(network(image).detach())
    return outputs, climbs


def test_equals_the_textbook_over_a_stream():
    expected, climbs = textbook_sar(IMAGES, beta=0.05)
    assert climbs == pytest.approx([0.05] * len(IMAGES))
    with SAR(beta=0.05).bound(sharp_network()) as adapter:
        for image, logits in zip(IMAGES, expected, strict=True):
            torch.testing.assert_close(adapter.adapt(image.double()), logits)
            assert 0 < adapter.trace_["climbed_reliable"] <= adapter.trace_["reliable"] < 1
            assert adapter.trace_["learning_rate"] == 0.05


class Pixelwise(nn.Module):
    """Returns the images times a scale, so that the images are the logits."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images):
        unused = 0.0 * self.norm(images)
        return images * self.norm.weight[0] + unused


def test_the_filter_keeps_probabilities_beyond_0_0794_and_0_9206():
    probabilities = torch.tensor([0.0793, 0.0795, 0.9205, 0.9207], dtype=torch.float64)
    logits = torch.logit(probabilities).reshape(1, 1, 2, 2).repeat(1, 3, 1, 1)
    with SAR(rho=0.0).bound(Pixelwise().double()) as adapter:
        adapter.adapt(logits)
        assert adapter.trace_["reliable"] == 0.5
        p = probabilities[[0, 3]]
        entropy = -(p * p.log() + (1 - p) * (1 - p).log()).mean().item()
        assert adapter.trace_["loss"] == pytest.approx(entropy)


@pytest.mark.parametrize("rho", [0.0, 0.05])
def test_no_step_without_reliable_pixels(rho):
    """Zero logits have the largest entropy; after a good image the momentum must not move."""
    good = torch.tensor([3.0, -3.0, 4.0, -4.0], dtype=torch.float64).reshape(1, 1, 2, 2)
    with SAR(beta=0.1, rho=rho).bound(Pixelwise().double()) as adapter:
        adapter.adapt(good.repeat(1, 3, 1, 1))
        assert adapter.trace_["learning_rate"] == 0.1
        before = adapter.state_dict()
        adapter.adapt(0.01 * good.repeat(1, 3, 1, 1))
        assert (adapter.trace_["reliable"], adapter.trace_["learning_rate"]) == (0.0, 0.0)
        for name, value in adapter.state_dict()["parameters"].items():
            assert torch.equal(value, before["parameters"][name])
        moved = before["parameters"]["norm.weight"] - 1.0
        assert moved.abs().max() > 0


def test_no_step_if_the_climb_leaves_no_reliable_pixel():
    logits = torch.full((1, 3, 2, 2), 2.46, dtype=torch.float64)
    with SAR(beta=0.1, rho=0.5).bound(Pixelwise().double()) as adapter:
        adapter.adapt(logits)
        assert adapter.trace_["reliable"] == 1.0
        assert adapter.trace_["climbed_reliable"] == 0.0
        assert adapter.network.norm.weight.tolist() == [1.0] * 3


def uncertain_mean(logits):
    p = torch.sigmoid(logits)
    entropy = -(p * p.log() + (1 - p) * (1 - p).log())
    return entropy[(entropy < 0.4 * math.log(2)) & (entropy > 0.01)].mean().item()


def test_the_average_counts_uncertain_pixels_only():
    """Of these logits ±9 are all but certain (H = 0.0012) and 1 is not reliable."""
    images = [
        torch.tensor(v, dtype=torch.float64).reshape(1, 1, 2, 2).repeat(1, 3, 1, 1)
        for v in ([3.0, 4.0, 9.0, 1.0], [-5.0, 3.5, -9.0, 1.0])
    ]
    certain = torch.full((1, 3, 2, 2), 9.0, dtype=torch.float64)
    first, second = map(uncertain_mean, images)
    with SAR(beta=0.0, rho=0.0).bound(Pixelwise().double()) as adapter:
        adapter.adapt(images[0])
        assert adapter.ema_ == pytest.approx(first)
        adapter.adapt(images[1])
        assert adapter.ema_ == pytest.approx(0.9 * first + 0.1 * second)
        adapter.adapt(certain)
        assert adapter.ema_ == pytest.approx(0.9 * first + 0.1 * second)


def test_a_reset_brings_source_momentum_and_average_back():
    network, source = sharp_network(), sharp_network().state_dict()
    with SAR(beta=0.05, reset_threshold=10.0).bound(network) as adapter:
        with build_adapter("ptbn").bound(sharp_network()) as ptbn:
            assert torch.equal(adapter.adapt(IMAGES[0].double()), ptbn.adapt(IMAGES[0].double()))
        assert adapter.trace_["reset"] == 1.0
        assert adapter.ema_ is None
        assert adapter.state_dict()["method"]["optimizer"] == {
            "momentum_buffer": [None] * len(adapter.adapted_parameters)
        }
        assert adapter.images_seen_ == 1
        for name, value in network.state_dict().items():
            assert torch.equal(value, source[name]), name
    with SAR(beta=0.05).bound(network) as adapter:
        adapter.adapt(IMAGES[0].double())
        assert adapter.trace_["reset"] == 0.0
        assert adapter.ema_ < 10.0


def test_excluded_layers_stay():
    with SAR().bound(tiny_network()) as adapter:
        assert set(adapter.adapted_parameters) == {"1.weight", "1.bias", "5.weight", "5.bias"}
    with SAR(exclude=["5", "encoder"]).bound(tiny_network()) as adapter:
        assert set(adapter.adapted_parameters) == {"1.weight", "1.bias"}
    wrapped = nn.ModuleDict({"encoder": nn.ModuleDict({"layer4": nn.BatchNorm2d(2)})})
    wrapped["layer40"] = nn.BatchNorm2d(2)
    with SAR().bound(nn.ModuleDict({"network": wrapped})) as adapter:
        assert set(adapter.adapted_parameters) == {
            "network.layer40.weight",
            "network.layer40.bias",
        }
    with pytest.raises(ValueError, match="scale and shift outside of 1, 5"):
        SAR(exclude=["1", "5"]).bind(tiny_network())


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"momentum": 1.0}, ValueError),
        ({"rho": -1.0}, ValueError),
        ({"entropy_factor": 0.0}, ValueError),
        ({"reset_threshold": -0.1}, ValueError),
        ({"exclude": "encoder.layer4"}, TypeError),
        ({"exclude": [4]}, TypeError),
        ({"exclude": None}, TypeError),
    ],
)
def test_bad_settings(settings, error):
    (name,) = settings
    with pytest.raises(error, match=f"'{name}' parameter of SAR"):
        SAR(**settings)


VARIANTS = {
    "all reliable": SAR(entropy_factor=2.0, beta=0.1),
    "some reliable": SAR(entropy_factor=0.9, beta=0.1, predict="before_update"),
    "resets": SAR(entropy_factor=2.0, beta=0.1, reset_threshold=0.6),
    "excluded": SAR(entropy_factor=2.0, beta=0.1, exclude=["5"], rho=0.5),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("variant", VARIANTS)
def test_contract(variant, check):
    check(VARIANTS[variant])
