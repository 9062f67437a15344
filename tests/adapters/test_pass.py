# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""PASS against a plain stream with torch's own optimizer, its choice, and its bottleneck."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from grata_monai.adapters import Pass
from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.networks import ResUNet34
from grata_monai.networks.prompts import decorate_input, draw_prompts, modulate_features


class Chain(nn.Module):
    """Encoder and decoder, each with batch normalization; the first makes the bottleneck."""

    def __init__(self):
        super().__init__()
        layers = list(tiny_network())
        self.encoder = nn.Sequential(*layers[:3])
        self.decoder = nn.Sequential(*[m for m in layers[4:] if not isinstance(m, nn.Dropout)])

    def bottleneck(self, images):
        return self.encoder(images)

    def forward(self, images):
        return self.decoder(self.encoder(images))


def run(network, image, prompts, layers):
    """Return logits and loss of a prompted chain, layer by layer."""
    distances = {"encoder": [], "decoder": []}
    a = decorate_input(image, prompts)
    for part, name in ((network.encoder, "encoder"), (network.decoder, "decoder")):
        for layer in part:
            if isinstance(layer, nn.BatchNorm2d):
                values = a.transpose(0, 1).flatten(1)
                means = (values.mean(1) - layer.running_mean).abs().mean()
                variances = (values.var(1, correction=0) - layer.running_var).abs().mean()
                distances[name].append(means + 0.01 * variances)
            a = layer(a)
        if name == "encoder":
            a = modulate_features(a, prompts)
    chosen = distances["encoder"] + (distances["decoder"] if layers == "all" else [])
    return a, sum(chosen) / len(chosen)


def plain_pass(network, images, *, beta, layers, seed=0):
    network = network.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    target = draw_prompts(images[0], network.encoder(images[0]), generator)
    results = []
    for t, image in enumerate(images, start=1):
        prompts = {name: value.clone().requires_grad_() for name, value in target.items()}
        optimizer = torch.optim.Adam(prompts.values(), lr=beta)
        for _ in range(2):
            optimizer.zero_grad()
            _, loss = run(network, image, prompts, layers)
            loss.backward()
            optimizer.step()
        rho = 0.1 * 0.94**t + 0.005
        target = {n: (1 - rho) * target[n] + rho * prompts[n].detach() for n in target}
        with torch.no_grad():
            results.append((run(network, image, prompts, layers)[0], loss.item(), target))
    return results


@pytest.mark.parametrize("layers", ["all", "encoder"])
def test_equals_the_plain_stream(layers):
    images = [image.double() for image in tiny_images(4)]
    expected = plain_pass(Chain().double(), images, beta=0.05, layers=layers)
    adapter = Pass(beta=0.05, layers=layers, choose="adapted")
    with adapter.bound(Chain().double()):
        for image, (logits, loss, target) in zip(images, expected, strict=True):
            torch.testing.assert_close(adapter.adapt(image), logits, rtol=1e-6, atol=1e-8)
            assert adapter.trace_["loss"] == pytest.approx(loss, rel=1e-6)
            found = adapter.state_dict()["method"]["target"]
            for name, value in target.items():
                torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-8)
            assert bool(found["shape"].any()) == (layers == "all")


def test_momentum_of_the_published_schedule():
    with Pass().bound(Chain()) as adapter:
        found = []
        for image in tiny_images(5):
            adapter.adapt(image)
            found.append(adapter.trace_["momentum"])
    assert found[0] == pytest.approx(0.0990, abs=5e-5)
    assert found[4] == pytest.approx(0.0784, abs=5e-5)


def entropy_with_equal_say(logits):
    """Of one image: the mean over channels of the mean over structure and over background."""
    p = torch.sigmoid(logits.double())
    entropy = -(p * p.log() + (1 - p) * (1 - p).log())
    values = []
    for channel, inside in zip(entropy[0], p[0] >= 0.5, strict=True):
        if inside.all() or not inside.any():
            values.append(channel.mean())
        else:
            values.append((channel[inside].mean() + channel[~inside].mean()) / 2)
    return sum(values) / len(values)


def test_the_surer_prediction_is_chosen_image_by_image():
    images = tiny_images(8)
    seen = set()
    settings = {"beta": 0.05, "life_cycle": "per_image"}
    with torch.no_grad():
        plain = [Chain().eval()(image) for image in images]
    with Pass(**settings, choose="adapted").bound(Chain()) as adapter:
        adapted = [adapter.adapt(image) for image in images]
    with Pass(**settings).bound(Chain()) as adapter:
        for image, before, after in zip(images, plain, adapted, strict=True):
            better = entropy_with_equal_say(after) <= entropy_with_equal_say(before)
            seen.add(bool(better))
            assert torch.equal(adapter.adapt(image), after if better else before)
    assert seen == {True, False}


def test_the_loss_falls_and_the_network_stays():
    network, image = Chain(), tiny_images()[0]
    with (
        Pass(beta=0.02, steps=1).bound(network) as one,
        Pass(beta=0.02, steps=15).bound(Chain()) as many,
    ):
        one.adapt(image)
        many.adapt(image)
        assert many.trace_["loss"] < 0.9 * one.trace_["loss"]
        assert one.adapted_parameters == ()
        for name, value in Chain().state_dict().items():
            assert torch.equal(network.state_dict()[name], value), name


def test_the_shape_prompt_learns_in_the_network_of_the_paper():
    with Pass(steps=1).bound(ResUNet34()) as adapter:
        adapter.adapt(tiny_images(size=(32, 32))[0])
        prompts = adapter.state_dict()["method"]["prompts"]
        assert prompts["shape"].shape == (1, 512, 1, 1)
        assert prompts["shape"].any()


def test_images_of_another_size_use_the_same_prompts():
    with Pass().bound(Chain()) as adapter:
        adapter.adapt(tiny_images()[0])
        assert adapter.adapt(tiny_images(size=(8, 16))[0]).shape == (1, 2, 8, 16)
        assert adapter.state_dict()["method"]["target"]["shape"].shape == (1, 6, 12, 12)


def test_what_is_kept_of_images_with_metadata_is_plain():
    images = tiny_images(2)
    with Pass().bound(Chain()) as adapter:
        expected = [adapter.adapt(image) for image in images]
    with Pass().bound(Chain()) as adapter:
        found = [adapter.adapt(MetaTensor(image)).as_subclass(torch.Tensor) for image in images]
        state = adapter.state_dict()["method"]
    assert all(map(torch.equal, found, expected))
    kept = [*state["prompts"].values(), *state["target"].values()]
    assert {type(tensor) for tensor in kept} == {torch.Tensor}


def test_a_named_layer_gives_the_same_as_the_network_s_own_method():
    image, found = tiny_images()[0], []
    for name in (None, "encoder"):
        with Pass(bottleneck=name, choose="adapted", beta=0.1).bound(Chain()) as adapter:
            found.append(adapter.adapt(image))
    assert torch.equal(found[0], found[1])


def test_networks_without_a_bottleneck():
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    with pytest.raises(ValueError, match=r"no method bottleneck\(images\), which Pass needs"):
        Pass().bind(network)
    with pytest.raises(ValueError, match=r"names no layer of Sequential: 'encoder.deep'"):
        Pass(bottleneck="encoder.deep").bind(network)
    with pytest.raises(ValueError, match=r"such as 'encoder.layer4'"):
        Pass(bottleneck="no name")
    with Pass(bottleneck="0", layers="encoder").bound(network) as adapter:
        with pytest.raises(ValueError, match="before its bottleneck; use layers='all'"):
            adapter.adapt(tiny_images()[0])


@pytest.mark.parametrize(
    "settings", [{"steps": 0}, {"layers": "some"}, {"kept_share": 0.0}, {"choose": "best"}]
)
def test_bad_settings(settings):
    with pytest.raises(ValueError, match=f"'{next(iter(settings))}' parameter of Pass"):
        Pass(**settings)
