# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""VPTTA against a plain double-precision stream, and its memory, moments and counter."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from grata_monai.adapters import VPTTA
from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.functional.frequency import prompt_extent

SETTINGS = {"alpha": 0.3, "memory_size": 3, "neighbours": 2, "beta": 0.1}
SIZE = (12, 10)


def images_of(count, *, seed=0):
    return [image.double() for image in tiny_images(count, size=SIZE, seed=seed)]


def shifted_spectrum(image):
    return torch.fft.fftshift(torch.fft.fft2(image), dim=(2, 3))


def prompted(image, prompt):
    """Multiply the 3x3 frequencies around the middle (6, 5) of the shifted spectrum."""
    padded = torch.ones(1, 3, *SIZE, dtype=torch.float64)
    padded[:, :, 5:8, 4:7] = 0.0
    padded = padded + nn.functional.pad(prompt, (4, 3, 5, 4))
    spectrum = torch.fft.ifftshift(shifted_spectrum(image) * padded, dim=(2, 3))
    return torch.fft.ifft2(spectrum).real


def forward(network, image, n):
    """Return logits and the mean distance between mixed and current statistics."""
    m, distances, a = 1 / (n**0.5 / 5 + 1), [], image
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            mean, std = a.mean(dim=(0, 2, 3)), a.std(dim=(0, 2, 3))
            mu = (m * mean + (1 - m) * layer.running_mean).detach()
            v = (m * std**2 + (1 - m) * layer.running_var).detach()
            distances.append((mu - mean).abs().mean() + (v.sqrt() - std).abs().mean())
            mu, v, scale, shift = (t.view(1, -1, 1, 1) for t in (mu, v, layer.weight, layer.bias))
            a = scale * (a - mu) / (v + layer.eps).sqrt() + shift
        elif not isinstance(layer, nn.Dropout):
            a = layer(a)
    return a, torch.stack(distances).mean()


def plain_vptta(network, images, *, keep_moments=True):
    memory, results = [], []
    moments, steps = [0.0, 0.0], 0
    for n, image in enumerate(images, start=1):
        key = shifted_spectrum(image).abs()[:, :, 5:8, 4:7].flatten()
        start = torch.ones(1, 3, 3, 3, dtype=torch.float64)
        if len(memory) >= 2:
            pairs = [((key @ k / (key.norm() * k.norm())).item(), v) for k, v in memory]
            nearest = sorted(pairs, key=lambda pair: -pair[0])[:2]
            weights = torch.tensor([cosine / 0.2 for cosine, _ in nearest]).double().exp()
            start = sum(w * v for w, (_, v) in zip(weights / weights.sum(), nearest, strict=True))
        prompt = start.clone().requires_grad_()
        _, loss = forward(network, prompted(image, prompt), n)
        (g,) = torch.autograd.grad(loss, prompt)
        if not keep_moments:
            moments, steps = [0.0, 0.0], 0
        steps += 1
        moments = [0.9 * moments[0] + 0.1 * g, 0.99 * moments[1] + 0.01 * g * g]
        first, second = moments[0] / (1 - 0.9**steps), moments[1] / (1 - 0.99**steps)
        trained = start - 0.1 * first / (second.sqrt() + 1e-8)
        memory = [*memory, (key, trained)][-3:]
        with torch.no_grad():
            results.append((forward(network, prompted(image, trained), n)[0], loss.item()))
    return results


@pytest.mark.parametrize("keep_moments", [True, False])
def test_equals_the_plain_stream(keep_moments):
    images = images_of(6)
    expected = plain_vptta(tiny_network().double(), images, keep_moments=keep_moments)
    adapter = VPTTA(**SETTINGS, keep_moments=keep_moments)
    with adapter.bound(tiny_network().double()):
        for image, (logits, loss) in zip(images, expected, strict=True):
            torch.testing.assert_close(adapter.adapt(image), logits, rtol=1e-6, atol=1e-8)
            assert adapter.trace_["loss"] == pytest.approx(loss, rel=1e-6)


def test_the_network_stays_as_it_is():
    network = tiny_network()
    with VPTTA(**SETTINGS).bound(network) as adapter:
        for image in tiny_images(4):
            adapter.adapt(image)
        assert adapter.adapted_parameters == ()
        assert not any(p.requires_grad for p in network.parameters())
        for name, value in tiny_network().state_dict().items():
            assert torch.equal(network.state_dict()[name], value), name


def test_memory_and_counter_per_image():
    with VPTTA(**SETTINGS).bound(tiny_network()) as adapter:
        for count, image in enumerate(tiny_images(5), start=1):
            adapter.adapt(image)
            state = adapter.state_dict()
            assert state["policy"] == {"count": count}
            assert len(state["method"]["memory"]["keys"]) == min(count, 3)
            share = 1 / (count**0.5 / 5 + 1)
            assert adapter.trace_["current_share"] == pytest.approx(share)
        adapter.reset()
        assert adapter.state_dict()["method"]["memory"] == {"keys": [], "values": []}


def test_images_of_another_size_begin_anew():
    large = tiny_images(size=(20, 24))[0]
    with VPTTA(**SETTINGS).bound(tiny_network()) as adapter:
        for image in tiny_images(3):
            adapter.adapt(image)
        adapter.adapt(large)
        method = adapter.state_dict()["method"]
        assert len(method["memory"]["values"]) == 1
        assert method["prompt"].shape == (1, 3, *prompt_extent((20, 24), 0.3)) == (1, 3, 6, 7)


def test_a_failed_update_changes_nothing():
    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.fails = tiny_network(), False

        def forward(self, images):
            if self.fails and torch.is_grad_enabled():
                raise KeyError("deliberate")
            return self.inner(images)

    network, images = Failing(), tiny_images(2)
    with VPTTA(**SETTINGS).bound(network) as adapter:
        for other in (images[1], tiny_images(size=(20, 24))[0]):
            adapter.adapt(images[0])
            before = adapter.state_dict()
            network.fails = True
            with pytest.raises(KeyError):
                adapter.adapt(other)
            network.fails = False
            after = adapter.state_dict()
            assert after["policy"] == before["policy"]
            assert torch.equal(after["method"]["prompt"], before["method"]["prompt"])
            assert len(after["method"]["memory"]["keys"]) == len(before["method"]["memory"]["keys"])


def test_a_sliding_window_is_predicted_with_the_image_s_prompt_and_counter():
    image = tiny_images()[0]
    windows = []

    def infer(images, network):
        windows.extend([network(images[..., :6]), network(images[..., 6:])])
        return torch.cat(windows, dim=-1)

    with VPTTA(**SETTINGS).bound(tiny_network()) as adapter:
        assert adapter.adapt(image, infer).shape == (1, 2, 12, 12)
        assert adapter.state_dict()["policy"] == {"count": 1}


def test_what_is_kept_of_images_with_metadata_is_plain():
    images = tiny_images(2)
    with VPTTA(**SETTINGS).bound(tiny_network()) as adapter:
        expected = [adapter.adapt(image) for image in images]
    with VPTTA(**SETTINGS).bound(tiny_network()) as adapter:
        found = [adapter.adapt(MetaTensor(image)).as_subclass(torch.Tensor) for image in images]
        state = adapter.state_dict()["method"]
    assert all(map(torch.equal, found, expected))
    kept = [state["prompt"], *state["memory"]["keys"], *state["memory"]["values"]]
    assert {type(tensor) for tensor in kept} == {torch.Tensor}


def test_the_legacy_window_is_another_method():
    image = tiny_images(size=(12, 12))[0]
    found = []
    for legacy in (False, True):
        adapter = VPTTA(**SETTINGS, legacy_window=legacy)
        with adapter.bound(tiny_network()):
            found.append(adapter.adapt(image))
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize(
    "settings", [{"alpha": 0.0}, {"alpha": 1.1}, {"neighbours": 41}, {"keep_moments": 1}]
)
def test_bad_settings(settings):
    with pytest.raises(ValueError, match=f"'{next(iter(settings))}' parameter of VPTTA"):
        VPTTA(**settings)
