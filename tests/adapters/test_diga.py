# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DIGA against the whole method written out pixel by pixel in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from grata_monai.adapters import DIGA, AlphaBN, Source
from grata_monai.adapters.checks import CHECKS, tiny_images, tiny_network
from tests.parity.textbook_statistics import forward, logit, mixture, sigmoid

RHO, KAPPA, FUSION, TAU = 0.3, 0.6, 0.7, 1.5
SETTINGS = {"rho": RHO, "kappa": KAPPA, "fusion": FUSION, "tau": TAU}


def sure_network():
    network = tiny_network()
    with torch.no_grad():
        scale = torch.tensor([15.0, 60.0])
        network[-1].weight.mul_(scale[:, None, None, None])
        network[-1].bias.mul_(scale).add_(torch.tensor([7.0, -2.4]))
    return network


def class_probabilities(view, p):
    """Return the problems of a view, each a list of class probabilities."""
    if view == "binary":
        return [[p[0], 1 - p[0]], [p[1], 1 - p[1]]]
    parts = [1 - p[0], max(p[0] - p[1], 0.0), p[1]]
    return [[part / sum(parts) for part in parts]]


def back(view, weights):
    if view == "binary":
        return [weights[0][0], weights[1][0]]
    return [weights[0][1] + weights[0][2], weights[0][2]]


def textbook(network, images, view, confidence):
    """Yield logits, number of known prototypes, of them in the image.

    Prototypes are kept as (problem, class) -> mean feature.
    """
    history = {}
    for image in images:
        features, logits = forward(network, image, mixture(0.8))
        features, p = features[0], sigmoid(logits[0])
        members = {}
        for y, x in np.ndindex(p.shape[1:]):
            for problem, classes in enumerate(class_probabilities(view, p[:, y, x])):
                if max(classes) >= confidence:
                    key = problem, int(np.argmax(classes))
                    members.setdefault(key, []).append(features[:, y, x])
        instance = {key: np.mean(pixels, axis=0) for key, pixels in members.items()}
        for key, mean in instance.items():
            known = key in history
            history[key] = (1 - RHO) * history[key] + RHO * mean if known else mean
        result = np.empty_like(p)
        for y, x in np.ndindex(p.shape[1:]):
            votes = [vote(view, s, features[:, y, x], p[:, y, x]) for s in (history, instance)]
            fused = KAPPA * np.array(votes[0]) + (1 - KAPPA) * np.array(votes[1])
            result[:, y, x] = FUSION * fused + (1 - FUSION) * p[:, y, x]
        yield logit(result), len(history), len(instance)


def vote(view, prototypes, feature, p):
    """Return the probabilities of one set; the network's own where it has nothing to decide."""
    weights = []
    for problem, classes in enumerate(class_probabilities(view, p)):
        near = np.zeros(len(classes))
        for k in range(len(classes)):
            if (problem, k) in prototypes:
                near[k] = np.exp(-np.linalg.norm(feature - prototypes[problem, k]) / TAU)
        if (near > 0).sum() >= 2:
            weights.append(near / near.sum())
        elif view == "binary":
            weights.append(classes)
        else:
            return list(p)
    return back(view, weights)


@pytest.mark.parametrize(("view", "confidence"), [("binary", 0.9), ("nested3", 0.7)])
def test_equals_the_textbook_over_a_stream(view, confidence):
    first, third = tiny_images(2, size=(6, 5), seed=1)
    images = [first, torch.full((1, 3, 6, 5), 0.5), third, 0.1 * tiny_images(size=(6, 5))[0]]
    expected = list(textbook(sure_network(), images, view, confidence))
    adapter = DIGA(class_view=view, confidence=confidence, **SETTINGS)
    with adapter.bound(sure_network()):
        for image, (logits, known, of_image) in zip(images, expected, strict=True):
            found = adapter.adapt(image)
            assert adapter.trace_["prototypes"] == known
            assert adapter.trace_["prototypes_of_image"] == of_image
            np.testing.assert_allclose(found[0], logits, rtol=1e-3, atol=1e-4)
    lacking = [known - of_image for _, known, of_image in expected]
    assert max(lacking) > min(lacking), "some image must lack a class that is known"


def adapt(adapter, images, network, infer=None):
    with adapter.bound(network):
        return adapter.adapt(images, infer)


def test_without_fusion_it_is_the_mixed_statistics():
    images = tiny_images()[0]
    expected = adapt(AlphaBN(source_share=0.8), images, tiny_network())
    found = adapt(DIGA(kappa=0.0, fusion=0.0), images, tiny_network())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_with_source_statistics_and_without_fusion_it_is_the_source():
    images = tiny_images()[0]
    expected = adapt(Source(), images, tiny_network())
    found = adapt(DIGA(source_share=1.0, fusion=0.0), images, tiny_network())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("view", ["binary", "nested3"])
@pytest.mark.parametrize("bias", [0.0, 50.0, -50.0])
def test_no_class_or_one_class_has_no_vote(view, bias):
    network = tiny_network()
    with torch.no_grad():
        network[-1].weight.mul_(0.01)
        network[-1].bias.fill_(bias)
    images = tiny_images()[0]
    expected = adapt(AlphaBN(source_share=0.8), images, network)
    adapter = DIGA(class_view=view, fusion=1.0)
    torch.testing.assert_close(adapt(adapter, images, network), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("view", ["binary", "nested3"])
def test_far_prototypes_give_finite_logits(view):
    adapter = DIGA(class_view=view, tau=1e-6, fusion=1.0, confidence=0.6)
    logits = adapt(adapter, tiny_images()[0], sure_network())
    assert torch.isfinite(logits).all()
    assert logits.abs().max() > 100


def test_windows_use_the_prototypes_of_the_whole_image():
    images = tiny_images(size=(8, 12))[0]
    network, states, logits = sure_network(), [], []

    def infer(whole, predict):
        return torch.cat([predict(part) for part in whole.chunk(2, dim=-1)], dim=-1)

    for how in (None, infer):
        with DIGA(source_share=1.0, confidence=0.6).bound(network) as adapter:
            logits.append(adapter.adapt(images, how))
            states.append(adapter.state_dict()["method"])
    assert torch.equal(states[0]["means"], states[1]["means"])
    # away from the seam, where the convolutions see the same, so do the votes
    torch.testing.assert_close(logits[1][..., :4], logits[0][..., :4], rtol=1e-4, atol=1e-5)


def test_one_forward_pass_per_image():
    network, calls = tiny_network(), []
    network.register_forward_pre_hook(lambda *_: calls.append(1))
    with DIGA().bound(network) as adapter:
        for image in tiny_images(3):
            adapter.adapt(image)
    assert len(calls) == 3


def test_features_of_lower_resolution_are_resized():
    up = nn.ConvTranspose2d(6, 2, 2, stride=2)
    network = nn.Sequential(*list(sure_network())[:-1], nn.AvgPool2d(2), up).eval()
    logits = adapt(DIGA(confidence=0.5), tiny_images()[0], network)
    assert logits.shape == (1, 2, 12, 12)


def test_an_image_without_update_leaves_no_vote_to_the_next():
    images, network = tiny_images(2), sure_network()
    with DIGA(confidence=0.6).bound(network) as adapter:
        adapter.adapt(images[0])
        handle = network[-1].register_forward_hook(
            lambda _, inputs, output: output.index_fill(3, torch.tensor(0), torch.nan)
        )
        logits = adapter.adapt(images[1])
        handle.remove()
        assert adapter.trace_ == {"updated": 0.0}
        found = logits[..., 1:]
    with DIGA(confidence=0.6, kappa=1.0, fusion=0.64).bound(network) as adapter:
        # φκ = 0.64 to the history, the rest to the network itself
        adapter.adapt(images[0])
        adapter.rho = 0.0
        expected = adapter.adapt(images[1])[..., 1:]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_state_of_another_view_is_refused():
    with DIGA().bound(tiny_network()) as adapter:
        state = adapter.state_dict()
    with DIGA(class_view="nested3").bound(tiny_network()) as adapter:
        with pytest.raises(ValueError, match="class_view"):
            adapter.load_state_dict(state)


def test_nested_view_needs_two_channels():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1))
    with pytest.raises(ValueError, match="two channels"):
        adapt(DIGA(class_view="nested3"), tiny_images()[0], network)


def test_networks_without_convolution_are_refused():
    with pytest.raises(ValueError, match="no convolution"):
        DIGA().bind(nn.BatchNorm2d(3))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("view", ["binary", "nested3"])
def test_contract_where_prototypes_vote(view, check):
    # the small network is never sure enough for the default confidence
    check(DIGA(class_view=view, confidence=0.5, fusion=1.0))
