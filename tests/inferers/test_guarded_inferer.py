# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Inference behind guard and alarm: bad images, collapsed streams and bad losses leave no trace."""

from __future__ import annotations

import pytest
import torch

from grata_monai.adapters import CoTTA, GraTa, Tent, build_adapter
from grata_monai.adapters.check_tools import expect_same_tensors
from grata_monai.inferers import (
    AdaptiveInferer,
    CollapseAlarm,
    RefusedImageError,
    StreamGuard,
)
from grata_monai.objectives import Entropy
from tests.inferers.noise_sources import noise_source, noises, ramp

GOOD = noises(4)
SETTINGS = {
    "tent": {"beta": 0.1},
    "grata": {"beta": 0.1},
    "sar": {"beta": 0.1, "entropy_factor": 1.0, "exclude": ()},
    "cotta": {"beta": 0.1, "views": 2, "ema": 0.5, "restore": 0.1},
}
BAD = {
    "constant": torch.full_like(GOOD[0], 0.5),
    "foreign": ramp(),
    "too_small": GOOD[0][..., :1, :],
    "not_finite": GOOD[0] * torch.nan,
    "channels": GOOD[0][:, :1],
}


def run(images, adapter, *, network=None, predict_only=(), **inferer_settings):
    """Return logits (None where refused), final state and inferer of a stream."""
    network = network or noise_source()
    inferer = AdaptiveInferer(adapter, **inferer_settings)
    outputs, events = [], []
    with adapter.bound(network):
        for image in images:
            try:
                outputs.append(inferer(image, network))
                events.append(inferer.event_)
            except RefusedImageError as error:
                outputs.append(None)
                events.append(str(error))
        return outputs, adapter.state_dict(), events


def guard(on_fault="predict"):
    return StreamGuard(on_fault=on_fault, foreign_share=1.4)


@pytest.mark.parametrize("name", sorted(SETTINGS))
@pytest.mark.parametrize("on_fault", ["predict", "skip"])
def test_what_is_learned_is_as_if_bad_images_had_never_come(name, on_fault):
    bad = list(BAD.values())
    mixed = [GOOD[0], *bad[:3], GOOD[1], *bad[3:], GOOD[2], GOOD[3]]
    clean, state, _ = run(GOOD, build_adapter(name, **SETTINGS[name]))
    found, same, events = run(mixed, build_adapter(name, **SETTINGS[name]), guard=guard(on_fault))
    source = noise_source().eval()
    with torch.no_grad():
        assert not torch.equal(clean[0], source(GOOD[0]))  # the method does something
    expect_same_tensors(same, state, "after the stream")
    assert same["images_seen"] == len(GOOD)
    genuine = [number for number, image in enumerate(mixed) if any(image is g for g in GOOD)]
    for number, expected in zip(genuine, clean, strict=True):
        assert torch.equal(found[number], expected)
        assert events[number] == ""
    predicted = [out is not None for number, out in enumerate(found) if number not in genuine]
    assert predicted == [on_fault == "predict"] * 3 + [False] * 2


def test_without_the_guard_they_leave_a_trace():
    _, state, _ = run(GOOD, Tent(beta=0.1))
    _, other, _ = run([GOOD[0], BAD["foreign"], *GOOD[1:]], Tent(beta=0.1))
    with pytest.raises(AssertionError):
        expect_same_tensors(other, state, "after the stream")


@pytest.mark.parametrize("fault", sorted(BAD))
def test_events_say_what_was_wrong(fault):
    _, _, (event,) = run([BAD[fault]], Tent(), guard=guard())
    expected = guard().inspect(BAD[fault], noise_source())
    assert expected.kind == fault
    assert event == ("no update: " if expected.predictable else "") + expected.message


def test_bad_images_are_predicted_with_what_was_learned():
    adapter, network = Tent(beta=0.1), noise_source()
    inferer = AdaptiveInferer(adapter, guard=guard())
    with adapter.bound(network):
        inferer(GOOD[0], network)
        with torch.no_grad():
            expected = network(ramp())
        assert torch.equal(inferer(ramp(), network), expected)
        assert adapter.trace_ == {"updated": 0.0}
    with torch.no_grad():
        assert not torch.equal(expected, noise_source()(ramp()))


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_the_source_inspects_whatever_has_been_learned(name):
    adapter = build_adapter(name, **(SETTINGS[name] | {"beta": 10.0}))
    network, inferer = noise_source(), AdaptiveInferer(adapter, guard=guard())
    with adapter.bound(network):
        before = inferer.inspect(ramp(), network)
        for image in GOOD:
            inferer(image, network)
        assert inferer.inspect(ramp(), network) == before
        assert inferer.inspect(GOOD[0], network) == ("", False)
    assert before[0].startswith("the image is")


def test_bad_windows_are_left_out():
    def windows(image):
        yield from (image[..., :6], image[..., 6:] * 0, image[..., 6:])

    def sound_windows(image):
        yield from (image[..., :6], image[..., 6:])

    _, state, _ = run(GOOD, Tent(beta=0.1), windows=sound_windows)
    _, same, _ = run(GOOD, Tent(beta=0.1), windows=windows, guard=guard())
    expect_same_tensors(same, state, "after the stream")


class Flooding(GraTa):
    """GraTa, which finds the first structure everywhere once it has seen the second image."""

    def _update(self, images):
        trace = super()._update(images)
        if torch.equal(images, GOOD[1]):
            normalization, last = self._bound().network[1], self._bound().network[3]
            with torch.no_grad():
                normalization.bias.copy_(1000 * last.weight[0, :, 0, 0])
        return trace


def test_a_collapsed_stream_goes_back_to_the_source(caplog):
    adapter, network = Flooding(beta=0.1), noise_source()
    inferer = AdaptiveInferer(adapter, alarm=CollapseAlarm())
    with adapter.bound(network):
        found, traces, events = [], [], []
        for image in GOOD:
            found.append(inferer(image, network))
            traces.append(adapter.trace_)
            events.append(inferer.event_)
        state = adapter.state_dict()
    reason = "back to the source: structure 0 was found in more than 95% of pixels"
    assert events == ["", reason, "", ""]
    assert [trace.get("reset") for trace in traces] == [None, 1.0, None, None]
    assert f"Flooding went {reason}." in caplog.text
    with GraTa().bound(noise_source()) as source:
        assert torch.equal(found[1], source.predict_only(GOOD[1]))
    later, expected, _ = run(GOOD[2:], GraTa(beta=0.1))
    assert all(torch.equal(*pair) for pair in zip(found[2:], later, strict=True))
    expect_same_tensors({**state, "adapter": "GraTa"}, expected, "after the stream")


def test_without_the_alarm_it_stays_collapsed():
    found, _, _ = run(GOOD, Flooding(beta=0.1))
    assert [bool((logits[:, 0] > 0).all()) for logits in found] == [False, True, True, True]


def test_what_the_source_sees_no_better_is_no_collapse():
    network = noise_source()
    with torch.no_grad():
        network[3].bias.sub_(1000)  # nothing anywhere, from the start
    clean, state, _ = run(GOOD, Tent(beta=0.1), network=network)
    adapter = Tent(beta=0.1)
    found, same, events = run(GOOD, adapter, network=network, alarm=CollapseAlarm())
    assert all(torch.equal(*pair) for pair in zip(found, clean, strict=True))
    expect_same_tensors(same, state, "after the stream")
    assert events == [""] * 4
    assert adapter.trace_["reset"] == 0.0
    assert adapter.trace_["updated"] == 1.0


class Undefined(Entropy):
    """Entropy, or something that is not finite: as loss, or only in the gradient."""

    def __init__(self, where):
        super().__init__()
        self.where = where

    def __call__(self, network, images, generator):
        loss = super().__call__(network, images, generator)
        if not torch.equal(images, GOOD[1]):
            return loss
        return loss * torch.nan if self.where == "loss" else loss + (loss - loss.detach()).sqrt()


@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("make", [lambda o: Tent(objective=o, beta=0.1), lambda o: GraTa(pseudo=o)])
def test_losses_and_gradients_that_are_not_finite_change_nothing(where, make):
    others = [GOOD[0], *GOOD[2:]]
    clean, state, _ = run(others, make(Undefined(where)))
    found, same, _ = run(GOOD, make(Undefined(where)))
    assert all(torch.equal(*pair) for pair in zip(found[:1] + found[2:], clean, strict=True))
    expect_same_tensors(same, state, "after the stream")
    assert bool(torch.isfinite(found[1]).all())


def test_cotta_predicts_bad_images_with_its_teacher():
    adapter, network = CoTTA(**SETTINGS["cotta"]), noise_source()
    inferer = AdaptiveInferer(adapter, guard=guard())
    with adapter.bound(network):
        inferer(GOOD[0], network)
        expected = adapter.predict_only(ramp())
        assert torch.equal(inferer(ramp(), network), expected)
        assert torch.equal(inferer(ramp(), network), expected)
