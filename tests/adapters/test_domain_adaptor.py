# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DomainAdaptor against a plain one that overwrites scale and shift, and its contract."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grata_monai.adapters import DomainAdaptor
from grata_monai.adapters.checks import CHECKS, tiny_images, tiny_network
from grata_monai.state import MixedStatistics, apply_policy

IMAGES = tiny_images(4)


class PlainNorm(nn.Module):
    """Batch normalization with the current input's unbiased statistics, rectified on demand."""

    def __init__(self, layer):
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.mean, self.variance = layer.running_mean, layer.running_var
        self.rectify = False

    def forward(self, a):
        mean = a.mean((0, 2, 3))
        count = a.numel() / a.shape[1]
        variance = (a - mean.view(1, -1, 1, 1)).square().sum((0, 2, 3)) / (count - 1)
        if self.rectify:
            with torch.no_grad():
                mixed = (0.5 * self.variance + 0.5 * variance + 1e-5).sqrt()
                self.bias += self.weight * 0.5 * (mean - self.mean) / mixed
                self.weight *= (variance + 1e-5).sqrt() / mixed
            self.rectify = False
        normal = (a - mean.view(1, -1, 1, 1)) / (variance + 1e-5).sqrt().view(1, -1, 1, 1)
        return self.weight.view(1, -1, 1, 1) * normal + self.bias.view(1, -1, 1, 1)


def source_network():
    """The tiny network with mixed-statistics logits of which either channel may be the larger."""
    network = tiny_network().double()
    handle = apply_policy(network, MixedStatistics(source_share=0.5, unbiased=True))
    with torch.no_grad():
        network[-1].bias -= network.eval()(IMAGES[0].double()).mean((0, 2, 3))
    handle.remove()
    return network


def textbook_episode(image, *, beta):
    """One image from the source: overwrite γ and β by γ' and β', then plain SGD on them."""
    network = source_network().eval().requires_grad_(False)
    norms = []
    for index, layer in enumerate(network):
        if isinstance(layer, nn.BatchNorm2d):
            network[index] = norm = PlainNorm(layer)
            norms.append(norm)
    for norm in norms:
        norm.rectify = True
    with torch.no_grad():
        network(image)
    parameters = [p.requires_grad_() for norm in norms for p in (norm.weight, norm.bias)]
    disc, cup = torch.sigmoid(network(image)).unbind(1)
    assert 0.05 < (cup > disc).double().mean() < 0.95
    classes = torch.stack([1 - disc, (disc - cup).clamp(min=0), cup], 1)
    z = (classes / classes.sum(1, keepdim=True)).clamp(min=1e-6).log()
    t = 2 * (z - z.mean(1, keepdim=True)).detach().std(1, keepdim=True)
    p = torch.softmax(z / t, 1)
    (-(p * p.log() * t**2).sum(1).mean()).backward()
    torch.optim.SGD(parameters, lr=beta).step()
    return network(image).detach()


def test_equals_the_textbook_episode_by_episode():
    with DomainAdaptor(beta=0.05).bound(source_network()) as adapter:
        for image in IMAGES:
            expected = textbook_episode(image.double(), beta=0.05)
            torch.testing.assert_close(adapter.adapt(image.double()), expected)
            assert adapter.images_seen_ == 1


def test_the_default_forgets_every_image():
    assert DomainAdaptor().life_cycle == "per_image"
    with DomainAdaptor(beta=0.05).bound(tiny_network()) as adapter:
        first = adapter.adapt(IMAGES[0])
        adapter.adapt(IMAGES[1])
        assert torch.equal(adapter.adapt(IMAGES[0]), first)


@pytest.mark.parametrize("statistics", ["rectified", "mixed"])
def test_steps_pile_up_on_the_source_without_rectifications(statistics):
    """Online, parameters move by -β Σ gradients; with β = 0 they are the source's."""
    adapter = DomainAdaptor(statistics=statistics, beta=0.01, life_cycle="per_dataset")
    source = dict(tiny_network().double().named_parameters())
    with adapter.bound(tiny_network().double()):
        total = 0.0
        for image in IMAGES:
            adapter.adapt(image.double())
            total += 0.01 * adapter.trace_["gradient_norm"]
        after = adapter.state_dict()["parameters"]
        distance = sum((after[name] - source[name]).square().sum() for name in after).sqrt()
        assert 0 < distance <= total * (1 + 1e-9)
    with DomainAdaptor(statistics=statistics, beta=0.0, life_cycle="never").bound(
        tiny_network().double()
    ) as adapter:
        for image in IMAGES:
            adapter.adapt(image.double())
        for name, value in adapter.state_dict()["parameters"].items():
            assert torch.equal(value, source[name])


def test_prediction_before_the_update_is_mixed_for_the_image_itself():
    settings = {"life_cycle": "per_dataset", "predict": "before_update"}
    with DomainAdaptor(beta=0.0, **settings).bound(tiny_network()) as adapter:
        alone = [adapter.adapt(image) for image in IMAGES]
        adapter.reset()
        assert torch.equal(adapter.adapt(IMAGES[-1]), alone[-1])


def test_momentum_carries_over_images():
    def run(momentum):
        adapter = DomainAdaptor(beta=0.05, momentum=momentum, life_cycle="per_dataset")
        with adapter.bound(tiny_network()):
            return [adapter.adapt(image) for image in IMAGES[:2]]

    plain, moving = run(0.0), run(0.9)
    assert torch.equal(plain[0], moving[0])
    assert not torch.allclose(plain[1], moving[1])


@pytest.mark.parametrize(
    "settings", [{"loss": "gem"}, {"classes": "four"}, {"statistics": "source"}, {"momentum": 1.0}]
)
def test_bad_settings(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"'{name}' parameter of DomainAdaptor"):
        DomainAdaptor(**settings)


VARIANTS = {
    f"{statistics} {classes} {life_cycle}": DomainAdaptor(
        beta=0.05, statistics=statistics, classes=classes, loss=loss, life_cycle=life_cycle, **rest
    )
    for statistics, classes, loss, life_cycle, rest in [
        ("rectified", "nested3", "gem_t", "per_dataset", {}),
        ("rectified", "channel", "gem_skd", "never", {"predict": "before_update"}),
        ("rectified", "binary", "gem_t", "per_image", {"predict": "before_update"}),
        ("mixed", "nested3", "gem_skd", "per_dataset", {"momentum": 0.9}),
        ("mixed", "channel", "gem_t", "never", {}),
        ("mixed", "binary", "gem_t", "per_image", {}),
    ]
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("variant", VARIANTS)
def test_contract(variant, check):
    check(VARIANTS[variant])
