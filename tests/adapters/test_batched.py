# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes of a batch against the method itself, one image after the other."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grata_monai.adapters import MEMO, AlphaBN, BatchNormAdapt, GraTa, Guard, MedBN, Source, Tent
from grata_monai.adapters.batched import BatchedEpisodes
from grata_monai.adapters.check_tools import (
    clone,
    expect_same_state,
    portrait,
    tiny_images,
    tiny_network,
)
from grata_monai.adapters.checks import CHECKS, check_life_cycles
from grata_monai.functional.lr_mappings import LR_MAPPINGS
from grata_monai.networks import ResUNet34
from grata_monai.objectives import Consistency, Denoising, Entropy, Objective

IMAGES = [image.double() for image in tiny_images(3, size=(10, 14))]
SLOW = {"beta": 0.05}
METHODS = [
    *(GraTa(mapping=mapping, **SLOW) for mapping in LR_MAPPINGS),
    GraTa(auxiliary=None, **SLOW),
    GraTa(pseudo="entropy", **SLOW, seed=3),
    GraTa(auxiliary="consistency", pseudo="entropy", **SLOW),
    GraTa(auxiliary="denoising", pseudo="reconstruction", **SLOW),
    GraTa(pseudo=Consistency(views_at_once=3), **SLOW),
    GraTa(predict="before_update", **SLOW),
    Tent(**SLOW),
    Tent(objective=Denoising(std=0.3), **SLOW),
    AlphaBN(),
    BatchNormAdapt(),
    MedBN(),
    Source(),
]


APPLICABLE = [check for check in CHECKS if check is not check_life_cycles]  # it has one only


def one_by_one(method, images, network, infer=None):
    settings = {**method.get_params(), "life_cycle": "per_image"}
    logits, traces = [], []
    with type(method)(**settings).bound(network) as adapter:
        for image in images:
            logits.append(adapter.adapt(image, infer))
            traces.append(adapter.trace_)
    return torch.cat(logits), traces


def at_once(method, images, network, infer=None, **settings):
    settings = {"images_at_once": len(images), **settings}
    with BatchedEpisodes(adapter=method, **settings).bound(network) as adapter:
        return adapter.adapt(torch.cat(images), infer), adapter.traces_


def expect_alike(found, expected, tolerance=1e-10):
    (logits, traces), (own_logits, own_traces) = found, expected
    torch.testing.assert_close(logits, own_logits, rtol=0, atol=tolerance, equal_nan=True)
    assert [set(trace) for trace in traces] == [set(trace) for trace in own_traces]
    for trace, own in zip(traces, own_traces, strict=True):
        for name, value in own.items():
            assert trace[name] == pytest.approx(value, rel=1e3 * tolerance, abs=tolerance), name


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_gives_what_the_method_gives_image_by_image(method):
    expected = one_by_one(method, IMAGES, tiny_network().double())
    found = at_once(method, IMAGES, tiny_network().double())
    expect_alike(found, expected)
    # A control: as one episode the batch gives something else (Source apart).
    with clone(method).bound(tiny_network().double()) as adapter:
        together = adapter.adapt(torch.cat(IMAGES))
    assert isinstance(method, Source) == torch.allclose(together, found[0], atol=1e-6)


@pytest.mark.parametrize("size", [None, 1, 2, 5])
def test_batches_of_any_size_are_alike(size):
    expected = one_by_one(GraTa(**SLOW), IMAGES, tiny_network().double())
    expect_alike(
        at_once(GraTa(**SLOW), IMAGES, tiny_network().double(), images_at_once=size), expected
    )


@pytest.mark.parametrize("spatial", [2, 3])
def test_three_dimensions_and_later_batches(spatial):
    size = (12, 12) if spatial == 2 else (6, 8, 8)
    images = [image.double() for image in tiny_images(4, size=size)]
    expected, _ = one_by_one(GraTa(**SLOW), images, tiny_network(spatial).double())
    adapter = BatchedEpisodes(adapter=GraTa(**SLOW), images_at_once=2)
    with adapter.bound(tiny_network(spatial).double()):
        found = [adapter.adapt(torch.cat(images[i : i + 2])) for i in (0, 2)]
    torch.testing.assert_close(torch.cat(found), expected, rtol=0, atol=1e-10)


def paper_network(images):
    torch.manual_seed(0)
    network = ResUNet34()
    with torch.no_grad():
        for _ in range(3):
            network(torch.cat(images))
    return network


@pytest.mark.parametrize("method", [GraTa, Tent, BatchNormAdapt, Source])
def test_the_network_of_the_paper(method):
    images = tiny_images(3, size=(64, 64))
    network, images = paper_network(images).double(), [image.double() for image in images]
    expected = one_by_one(method(), images, network)
    expect_alike(at_once(method(), images, network), expected, tolerance=1e-9)


def test_single_precision_is_no_worse_than_one_by_one():
    images = tiny_images(2, size=(64, 64))
    network = paper_network(images)
    one, _ = one_by_one(BatchNormAdapt(), images, network)
    both, _ = at_once(BatchNormAdapt(), images, network)
    exact, _ = one_by_one(BatchNormAdapt(), [i.double() for i in images], network.double())
    assert (both - exact).abs().max() < 2 * (one - exact).abs().max() < 1e-3


def test_an_image_that_is_not_finite_harms_no_other():
    images = [image.clone() for image in IMAGES]
    images[1][0, 0, 2, 3] = torch.nan
    expected = one_by_one(GraTa(**SLOW), images, tiny_network().double())
    found = at_once(GraTa(**SLOW), images, tiny_network().double())
    expect_alike(found, expected)
    assert [trace["updated"] for trace in found[1]] == [1.0, 0.0, 1.0]
    assert torch.isfinite(found[0][[0, 2]]).all()


class Diverging(Objective):
    """Entropy, which is no number, or has no finite gradient, for bright images."""

    def __init__(self, *, gradient_only):
        self.gradient_only = gradient_only

    def __call__(self, network, images, generator):
        loss = Entropy()(network, images, generator)
        if images.mean() < 0.9:
            return loss
        return (loss - loss.detach()).sqrt() if self.gradient_only else loss * torch.nan


@pytest.mark.parametrize("gradient_only", [True, False])
@pytest.mark.parametrize("role", ["auxiliary", "pseudo"])
def test_a_loss_that_is_not_finite_harms_no_other(role, gradient_only):
    images = [IMAGES[0], 0.95 + 0.05 * IMAGES[1], IMAGES[2]]
    method = GraTa(**{role: Diverging(gradient_only=gradient_only)}, **SLOW)
    expected = one_by_one(method, images, tiny_network().double())
    found = at_once(method, images, tiny_network().double())
    expect_alike(found, expected)
    assert [trace["updated"] for trace in found[1]] == [1.0, 0.0, 1.0]


def windows(images, network):
    """Predict the halves of each image as one batch: another prediction than the whole one's."""
    return torch.cat(network(torch.cat(images.chunk(2, dim=-1))).chunk(2), dim=-1)


@pytest.mark.parametrize("method", [GraTa(**SLOW), BatchNormAdapt()], ids=["g", "p"])
def test_an_inferer_sees_one_image_at_a_time(method):
    expected = one_by_one(method, IMAGES, tiny_network().double(), windows)
    expect_alike(at_once(method, IMAGES, tiny_network().double(), windows), expected)
    whole, _ = at_once(method, IMAGES, tiny_network().double())
    assert not torch.allclose(whole, expected[0], atol=1e-3)


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("check", APPLICABLE, ids=lambda check: check.__name__)
def test_contract(check, size):
    check(BatchedEpisodes(adapter=GraTa(), images_at_once=size))


def test_mixed_precision_is_that_of_one_by_one():
    images = [image.float() for image in IMAGES]
    with torch.autocast("cpu", torch.bfloat16):
        expected = one_by_one(GraTa(), images, tiny_network())
        found = at_once(GraTa(), images, tiny_network())
    assert found[0].dtype is torch.bfloat16
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=0.05)
    for trace, own in zip(found[1], expected[1], strict=True):
        assert trace["pseudo_loss"] == pytest.approx(own["pseudo_loss"], rel=0.02)


def test_compiled_networks_are_compiled_once():
    graphs, network = [], tiny_network().double()
    expected = at_once(GraTa(**SLOW), IMAGES, network)

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()  # what other tests compiled counts against the limit
    network.compile(backend=backend, fullgraph=True, dynamic=False)
    with BatchedEpisodes(adapter=GraTa(**SLOW), images_at_once=3).bound(network) as adapter:
        found = adapter.adapt(torch.cat(IMAGES))
        first = len(graphs)
        adapter.adapt(torch.cat(IMAGES))
    torch.testing.assert_close(found, expected[0])
    assert len(graphs) == first


def test_passes_are_shared():
    calls = []
    network = tiny_network().double()
    network[0].register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    at_once(GraTa(**SLOW), IMAGES, network)
    assert calls == [3] * 9  # entropy, six views, strong view, prediction
    calls.clear()
    at_once(GraTa(pseudo=Consistency(views_at_once=6)), [IMAGES[0][..., :10]] * 3, network)
    assert calls == [3, 18, 3, 3]


def test_the_network_is_given_back_and_is_the_source_between_batches():
    network = tiny_network().train()
    before = portrait(network)
    adapter = BatchedEpisodes(adapter=GraTa(**SLOW), images_at_once=3)
    with adapter.bound(network):
        adapter.adapt(torch.cat(tiny_images(3)))
        expect_same_state(network, tiny_network(), "between batches")
    assert portrait(network) == before
    expect_same_state(network, tiny_network(), "after release()")


def test_after_an_exception_the_network_is_the_source():
    class Broken(Objective):
        def __call__(self, network, images, generator):
            network(images)
            raise KeyError("broken")

    network, images = tiny_network(), torch.cat(tiny_images(3))
    adapter = BatchedEpisodes(adapter=GraTa(pseudo=Broken(), **SLOW), images_at_once=3)
    with adapter.bound(network):
        with pytest.raises(KeyError, match="broken"):
            adapter.adapt(images)
        expect_same_state(network, tiny_network(), "after the exception")
        assert not adapter.network[1].forward.policy._rows


def test_the_trace_is_the_mean_of_the_images():
    adapter = BatchedEpisodes(adapter=Tent(), images_at_once=3)
    images = torch.cat([IMAGES[0], torch.full_like(IMAGES[0], torch.nan), IMAGES[2]])
    with adapter.bound(tiny_network().double()):
        adapter.adapt(images)
        losses = [trace["loss"] for trace in adapter.traces_ if "loss" in trace]
        assert adapter.trace_["loss"] == pytest.approx(sum(losses) / 2)
        assert adapter.trace_["updated"] == pytest.approx(2 / 3)


def test_source_runs_one_by_one_where_layers_have_no_running_statistics():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False), nn.Conv2d(4, 2, 1)
    ).double()
    expected = one_by_one(Source(), IMAGES, network)
    expect_alike(at_once(Source(), IMAGES, network), expected)


def test_objectives_that_call_the_network_differently_are_refused():
    class Uneven(Objective):
        def __call__(self, network, images, generator):
            loss = network(images).mean()
            return loss if images[0, 0, 0, 0] < 0.5 else loss + network(images).mean()

    images = [image.clone() for image in IMAGES]
    images[0][0, 0, 0, 0], images[1][0, 0, 0, 0] = 0.1, 0.9
    with pytest.raises(RuntimeError, match="Uneven does not call the network alike"):
        at_once(Tent(objective=Uneven()), images, tiny_network().double())


def test_windows_are_refused():
    adapter = BatchedEpisodes(adapter=GraTa())
    with adapter.bound(tiny_network()), pytest.raises(ValueError, match="adapts to whole images"):
        adapter.adapt(tiny_images()[0], windows=lambda images: images.chunk(2, dim=-1))


def test_settings():
    with pytest.raises(TypeError, match=r"cannot adapt MEMO .* it can GraTa, Tent, AlphaBN"):
        BatchedEpisodes(adapter=MEMO())
    with pytest.raises(TypeError, match="cannot adapt Guard"):
        BatchedEpisodes(adapter=Guard(adapter=GraTa()))
    with pytest.raises(TypeError, match="must be an Adapter"):
        BatchedEpisodes(adapter="grata")
    with pytest.raises(ValueError, match="'images_at_once' parameter of BatchedEpisodes"):
        BatchedEpisodes(adapter=GraTa(), images_at_once=0)
    adapter = BatchedEpisodes(adapter=GraTa(seed=5), images_at_once=2)
    assert adapter.life_cycle == "per_image"
    assert adapter.seed == 5
    assert repr(clone(adapter)) == repr(adapter)
