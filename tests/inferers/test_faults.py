# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The inferer with guard and alarm where things come together: windows, precision, loaders."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer

from grata_monai.adapters import MEMO, BatchedEpisodes, Guard, Tent
from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.execution import Execution
from grata_monai.inferers import (
    AdaptationWindows,
    AdaptiveInferer,
    CollapseAlarm,
    RefusedImageError,
    StreamGuard,
)
from grata_monai.inferers.adaptive import FAULT_KEY

IMAGE = tiny_images(1)[0]


def with_windows(**settings):
    guard = StreamGuard(foreign_share=None, **settings)
    return AdaptiveInferer(
        Tent(beta=0.5),
        SlidingWindowInferer((16, 16)),
        windows=AdaptationWindows(size=16, count=2),
        guard=guard,
    )


class Raising(CollapseAlarm):
    """Finds everything collapsed, and the second look ends in an error."""

    def reason(self, logits):
        if hasattr(self, "seen"):
            raise OSError("no second look")
        self.seen = True
        return "a drill"


class Drill(CollapseAlarm):
    """Finds the first prediction collapsed, and no other."""

    def reason(self, logits):
        first, self.seen = not hasattr(self, "seen"), True
        return "a drill" if first else ""


@pytest.mark.parametrize("bad", [torch.nan, 0.5])
def test_an_image_for_windows_is_looked_at_as_a_whole(bad):
    network, inferer = tiny_network(), with_windows()
    images = torch.full((1, 3, 32, 32), bad)
    with inferer.adapter.bound(network) as adapter:
        state = adapter.state_dict()["parameters"]
        message, refused = inferer.inspect(images, network)
        assert message
        assert refused is (bad != 0.5)
        if refused:
            with pytest.raises(RefusedImageError, match="NaN"):
                inferer(images, network)
        else:
            inferer(images, network)
            assert inferer.event_ == f"no update: {message}"
        for name, value in adapter.state_dict()["parameters"].items():
            assert torch.equal(value, state[name])


def test_skipping_refuses_images_for_windows_too():
    network, inferer = tiny_network(), with_windows(on_fault="skip")
    with pytest.raises(RefusedImageError, match="one value only"):
        inferer(torch.zeros(1, 3, 32, 32), network)


def test_an_image_without_a_sound_window_teaches_nothing():
    images = torch.zeros(1, 3, 32, 32)
    images[..., :2, :2] = 1.0  # neither window has it

    class Elsewhere(AdaptationWindows):
        def __call__(self, images):
            yield images[..., 16:, 16:]

    network, inferer = tiny_network(), with_windows()
    inferer.windows = Elsewhere(size=16, count=1)
    inferer.guard = StreamGuard(foreign_share=None, largest_plain_share=1.0)
    with inferer.adapter.bound(network) as adapter:
        inferer(images, network)
        assert inferer.event_.startswith("no update: the image has one value only")
        assert adapter.images_seen_ == 0


def test_a_loader_puts_faults_of_a_batch_into_a_list():
    network, inferer = tiny_network(), AdaptiveInferer(Tent(), guard=StreamGuard())
    for found, event in (([""], ""), (["a fault", ""], "no update: a fault")):
        inferer(MetaTensor(IMAGE, meta={FAULT_KEY: found}), network)
        assert inferer.event_ == event


def test_a_refused_size_is_a_refusal():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2))
    inferer = AdaptiveInferer(Tent(), guard=StreamGuard())
    with inferer.adapter.bound(network), pytest.raises(RefusedImageError, match=r"1x1 pixels"):
        inferer(torch.zeros(1, 3, 1, 1), network)


def test_an_error_after_the_alarm_loses_nothing():
    network, inferer = tiny_network(), AdaptiveInferer(Tent(beta=0.5), alarm=Raising())
    with inferer.adapter.bound(network) as adapter:
        with pytest.raises(OSError, match="second look"):
            inferer(IMAGE, network)
        assert adapter.images_seen_ == 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_back_to_the_source_is_the_source(precision):
    execution = Execution(precision=precision)
    network = tiny_network()
    inferer = AdaptiveInferer(
        MEMO(beta=0.5, views=2, life_cycle="never"), execution=execution, alarm=Drill()
    )
    with inferer.adapter.bound(network) as adapter:
        answer = inferer(IMAGE, network)
        assert inferer.event_ == "back to the source: a drill"
        with execution.running(network):
            source = adapter.predict_only(IMAGE)
    assert torch.equal(answer, source.to(answer.dtype))


def test_bf16_predicts_with_the_new_weights():
    execution = Execution(precision="bf16")
    inferer = AdaptiveInferer(MEMO(beta=0.5, views=2, life_cycle="never"), execution=execution)
    network = tiny_network()
    with inferer.adapter.bound(network) as adapter:
        answer = inferer(IMAGE, network)
        with execution.running(network):
            again = adapter.predict_only(IMAGE)
    assert torch.equal(answer, again.to(answer.dtype))


def test_inspecting_traces_no_code(monkeypatch):
    """A compiled network is inspected by its own code: nothing is compiled for the measuring."""

    def compile_(self, **options):
        self._compiled_call_impl = counting

    def counting(images):
        calls.append(images.shape)
        return network._call_impl(images)

    calls = []
    monkeypatch.setattr(torch.nn.Module, "compile", compile_)
    network = tiny_network()
    inferer = AdaptiveInferer(Tent(), guard=StreamGuard(), execution=Execution(compile=True))
    with inferer.adapter.bound(network):
        inferer.inspect(IMAGE, network)
        assert not calls
        inferer(IMAGE, network)
    assert calls


def test_the_numbers_of_a_batch_outlast_an_alarm_that_changes_nothing():
    class Always(CollapseAlarm):
        def reason(self, logits):
            return "a drill"

    adapter = BatchedEpisodes(adapter=Tent())
    inferer = AdaptiveInferer(adapter, alarm=Always())
    inferer(torch.cat([IMAGE, IMAGE]), tiny_network())
    assert len(adapter.traces_) == 2


def test_batched_episodes_go_outermost():
    with Guard(adapter=BatchedEpisodes(adapter=Tent())).bound(tiny_network()) as adapter:
        with pytest.raises(TypeError, match="outermost"):
            adapter.adapt(IMAGE)
