# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of the contract that concern use and misuse rather than any method."""

from __future__ import annotations

import pytest
import torch

from grata_monai.adapters import Source, Tent, build_adapter
from grata_monai.adapters.checks import tiny_images, tiny_network

IMAGES = tiny_images()[0]


def test_use_without_a_network():
    for call in (lambda a: a.adapt(IMAGES), lambda a: a.state_dict(), lambda a: a.reset()):
        with pytest.raises(RuntimeError, match=r"Tent has no network; call bind"):
            call(Tent())
    Tent().release()


def test_binding_twice():
    with Tent().bound(tiny_network()) as adapter:
        with pytest.raises(RuntimeError, match="bound already"):
            adapter.bind(tiny_network())


def test_a_released_network_can_be_bound_by_another_adapter():
    network = tiny_network()
    with Tent().bound(network):
        pass
    with Source().bound(network) as adapter:
        assert adapter.network is network


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (torch.zeros(3, 8), ValueError, "BxCx"),
        (torch.zeros(0, 3, 8, 8), ValueError, "not empty"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError, "uint8"),
        ([1, 2], TypeError, "list"),
    ],
)
def test_bad_images(images, error, words):
    with Tent().bound(tiny_network()) as adapter, pytest.raises(error, match=words):
        adapter.adapt(images)


def test_a_network_with_several_outputs_is_refused():
    class Pair(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = tiny_network()

        def forward(self, images):
            return self.inner(images), images

    with Source().bound(Pair()) as adapter:
        with pytest.raises(TypeError, match="one tensor of logits; got tuple"):
            adapter.adapt(IMAGES)


def test_not_a_network():
    with pytest.raises(TypeError, match=r"torch.nn.Module; got str"):
        Tent().bind("resnet")


def test_state_of_another_source_or_method_is_refused():
    with Tent().bound(tiny_network()) as adapter:
        state = adapter.state_dict()
    with Tent().bound(tiny_network(seed=1)) as adapter:
        with pytest.raises(ValueError, match="its source is"):
            adapter.load_state_dict(state)
    with Source().bound(tiny_network()) as adapter:
        with pytest.raises(ValueError, match=r"its adapter is 'Tent', here 'Source'"):
            adapter.load_state_dict(state)


def test_custom_inference_sees_the_adapted_network():
    calls = []

    def infer(images, predict):
        calls.append(images.shape)
        return torch.cat([predict(images[..., :6]), predict(images[..., 6:])], dim=-1)

    with Tent(beta=0.5).bound(tiny_network()) as adapter:
        halves = adapter.adapt(IMAGES, infer)
        with torch.no_grad():
            left = adapter.network.eval()(IMAGES[..., :6])
    assert calls == [IMAGES.shape]
    assert torch.equal(halves[..., :6], left)
    assert halves.shape == (1, 2, 12, 12)


def test_prediction_before_the_update_is_that_of_the_source_statistics_alone():
    with build_adapter("ptbn").bound(tiny_network()) as adapter:
        expected = adapter.adapt(IMAGES)
    with Tent(beta=0.5, predict="before_update").bound(tiny_network()) as adapter:
        assert torch.equal(adapter.adapt(IMAGES), expected)
        assert not torch.equal(adapter.adapt(IMAGES), expected)


def test_unknown_method_and_settings():
    with pytest.raises(ValueError, match="did you mean 'grata'"):
        build_adapter("grta")
    with pytest.raises(ValueError, match=r"Source.*Got 'beta'"):
        build_adapter("source", beta=0.1)
    assert build_adapter("source", beta=None).get_params() == Source().get_params()


@pytest.mark.parametrize(
    "settings",
    [{"beta": -1}, {"beta": float("nan")}, {"betas": (0.9,)}, {"betas": (0.9, 1.0)}, {"seed": -1}],
)
def test_bad_settings(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"'{name}' parameter of Tent"):
        Tent(**settings)
