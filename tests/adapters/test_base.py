# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The parts of the contract that concern use and misuse rather than any method."""

from __future__ import annotations

import gc

import pytest
import torch

from grata_monai.adapters import GraTa, Source, Tent, build_adapter
from grata_monai.adapters.checks import tiny_images, tiny_network

IMAGES = tiny_images()[0]


def test_use_without_a_network():
    for call in (lambda a: a.adapt(IMAGES), lambda a: a.state_dict()):
        with pytest.raises(RuntimeError, match=r"Tent has no network; call bind"):
            call(Tent())
    Tent().release()
    Tent().reset()


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


def assert_untouched(network):
    for name, value in tiny_network().state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    assert not any("forward" in vars(module) for module in network.modules())


def test_an_adapter_that_is_dropped_while_bound_gives_the_network_back():
    network = tiny_network()
    adapter = Tent(beta=0.5).bind(network)
    adapter.adapt(IMAGES)
    del adapter
    gc.collect()
    assert_untouched(network)
    with Tent().bound(network):
        pass


def test_a_network_and_one_that_contains_it_cannot_both_be_bound():
    inner = tiny_network()
    outer = torch.nn.Sequential(inner)
    with Tent().bound(inner):
        with pytest.raises(RuntimeError, match="or one that contains it"):
            Tent().bind(outer)
    with Tent().bound(outer):
        pass
    assert_untouched(inner)


def test_a_parameter_that_layers_share_is_moved_once():
    network = tiny_network()
    network[5].weight = network[1].weight
    start = network[1].weight.detach().clone()
    with Tent(beta=0.25).bound(network) as adapter:
        adapter.adapt(IMAGES)
        assert len(adapter.adapted_parameters) == 3
        step = (network[1].weight.detach() - start).abs()
    torch.testing.assert_close(step, torch.full_like(step, 0.25), rtol=1e-3, atol=0)


def test_a_skipped_update_says_so_and_a_later_one_too():
    broken = torch.full_like(IMAGES, torch.nan)
    with Tent().bound(tiny_network()) as adapter:
        adapter.adapt(IMAGES)
        assert adapter.trace_["updated"] == 1.0
        adapter.adapt(broken)
        assert adapter.trace_ == {"updated": 0.0}
        assert adapter.images_seen_ == 1
        adapter.reset()
        assert (adapter.trace_, adapter.images_seen_) == ({}, 0)


def test_a_network_that_changes_its_input_leaves_the_images_alone():
    class Careless(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = tiny_network()

        def forward(self, images):
            return self.inner(images.sub_(0.5))

    images = IMAGES.clone()
    with Source().bound(Careless()) as adapter:
        adapter.adapt(images)
    assert torch.equal(images, IMAGES)


def test_a_forward_without_gradients_is_an_error_not_a_silent_nothing():
    class NoGrad(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = tiny_network()

        @torch.no_grad()
        def forward(self, images):
            return self.inner(images)

    with Tent().bound(NoGrad()) as adapter:
        with pytest.raises(RuntimeError, match="does not depend on the adapted parameters"):
            adapter.adapt(IMAGES)


def test_an_exception_while_adapting_leaves_the_generator_as_it_was():
    network = tiny_network()
    with GraTa(beta=0.5).bound(network) as adapter:
        expected = adapter.adapt(IMAGES)
        adapter.reset()
        calls = []
        hook = network.register_forward_pre_hook(
            lambda *_: calls.append(1) or (1 / 0 if len(calls) == 5 else None)
        )
        with pytest.raises(ZeroDivisionError, match="division"):
            adapter.adapt(IMAGES)
        hook.remove()
        assert torch.equal(adapter.adapt(IMAGES), expected)


def test_a_buffer_made_while_bound_does_not_keep_the_network_from_release():
    network = tiny_network()
    with Tent(beta=0.5).bound(network) as adapter:
        adapter.adapt(IMAGES)
        network.register_buffer("grid", torch.zeros(1))
    del network._buffers["grid"]
    assert_untouched(network)


def test_settings_of_the_optimizer_are_not_part_of_the_state():
    with Tent(betas=(0.5, 0.9)).bound(tiny_network()) as adapter:
        adapter.adapt(IMAGES)
        state = adapter.state_dict()
    with Tent().bound(tiny_network()) as adapter:
        adapter.load_state_dict(state)
        assert adapter._stepper.betas == (0.9, 0.999)


def test_half_precision_parameters_are_warned_of(caplog):
    with Tent().bound(tiny_network().bfloat16()):
        pass
    assert "half precision" in caplog.text


def test_grata_without_auxiliary_by_name():
    assert build_adapter("grata", auxiliary="none").auxiliary is None
