# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""DUA against torch's own running statistics; its views against all that there can be."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from grata_monai.adapters import DUA, Source
from grata_monai.adapters.checks import CHECKS, tiny_images, tiny_network


def batches_seen(adapter, images, network):
    """Return what the network is given for each image, and what it predicts."""
    seen, logits = [], []
    handle = network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    with adapter.bound(network):
        logits = [adapter.adapt(image) for image in images]
    handle.remove()
    return seen, logits


def textbook(network, batch, momentum):
    for module in network.eval().modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
            module.momentum = momentum
    with torch.no_grad():
        network(batch)
    network.eval()


@pytest.mark.parametrize("recursive", [False, True])
def test_equals_torchs_running_statistics_over_a_stream(recursive):
    images, network = tiny_images(4), copy.deepcopy(tiny_network())
    adapter = DUA(views=5, delta_recursive=recursive)
    seen, logits = batches_seen(adapter, images, tiny_network())
    momentum = 0.1
    for t, image in enumerate(images):
        batch, clean = seen[2 * t : 2 * t + 2]
        assert batch.shape == (5, 3, 12, 12)
        assert torch.equal(clean, image)
        momentum = 0.94 * momentum + (0.005 if recursive else 0.0)
        textbook(network, batch, momentum if recursive else momentum + 0.005)
        with torch.no_grad():
            torch.testing.assert_close(logits[t], network(image), rtol=1e-5, atol=1e-6)


def possible_views(image, margin, turns):
    padded = np.pad(image, [(0, 0), (margin, margin), (margin, margin)])
    height, width = image.shape[1:]
    for top, left in itertools.product(range(2 * margin + 1), repeat=2):
        crop = padded[:, top : top + height, left : left + width]
        for flipped in (crop, crop[:, :, ::-1]):
            for k in turns:
                yield np.rot90(flipped, k, axes=(1, 2))


@pytest.mark.parametrize(("size", "turns"), [((8, 8), range(4)), ((8, 9), (0, 2))])
def test_views_are_crops_flips_and_rotations(size, turns):
    image = tiny_images(size=size)[0]
    seen, _ = batches_seen(DUA(views=400), [image], tiny_network())
    allowed = {view.tobytes() for view in possible_views(image[0].numpy(), 1, turns)}
    drawn = {view.numpy().tobytes() for view in seen[0]}
    assert drawn <= allowed
    assert len(allowed) == 9 * 2 * len(turns)
    assert len(drawn) > 0.95 * len(allowed)


def test_without_momentum_nothing_moves():
    images = tiny_images(3)
    _, logits = batches_seen(DUA(delta=0.0, initial_momentum=0.0), images, tiny_network())
    _, expected = batches_seen(Source(), images, tiny_network())
    for found, source in zip(logits, expected, strict=True):
        torch.testing.assert_close(found, source)


def test_views_follow_the_seed():
    image = tiny_images()[0]
    first, same, other = (
        batches_seen(DUA(seed=seed), [image], tiny_network())[0][0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_trace_has_the_momentum():
    with DUA().bound(tiny_network()) as adapter:
        adapter.adapt(tiny_images()[0])
    assert adapter.trace_["momentum"] == pytest.approx(0.099)


def test_statistics_that_are_not_finite_are_not_taken():
    images, network = tiny_images(2), tiny_network()
    with DUA().bound(network) as adapter:
        adapter.adapt(images[0])
        before = adapter.state_dict()
        logits = adapter.adapt(torch.full((1, 3, 12, 12), 3e38))
        assert adapter.trace_ == {"updated": 0.0}
        assert not torch.isfinite(logits).all()
        after = adapter.state_dict()
    assert after["images_seen"] == before["images_seen"] == 1
    for name, entry in before["policy"].items():
        assert all(torch.equal(value, after["policy"][name][key]) for key, value in entry.items())
    assert torch.equal(after["generator"], before["generator"])


def test_a_network_that_raises_halfway_moves_no_average():
    network = tiny_network()
    with DUA().bound(network) as adapter:
        handle = network[-1].register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            adapter.adapt(tiny_images()[0])
        handle.remove()
        assert adapter.state_dict()["policy"] == {}


@pytest.mark.parametrize("option", [{"views": 0}, {"omega": 1.1}, {"delta_recursive": 1}])
def test_bad_options(option):
    with pytest.raises(ValueError, match=f"'{next(iter(option))}' parameter of DUA"):
        DUA(**option)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract_when_prediction_comes_first(check):
    check(DUA(predict="before_update", views=1, padding=0.0, omega=1.0))
