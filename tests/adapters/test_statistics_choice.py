# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The choice of statistics: its formula in plain double precision, its limits, what it leaves."""

from __future__ import annotations

import gc
import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from grata_monai.adapters import (
    ADAPTERS,
    BatchNormAdapt,
    GraTa,
    Guard,
    Source,
    StatisticsChoice,
    Tent,
    build_adapter,
)
from grata_monai.adapters.check_tools import portrait
from grata_monai.adapters.checks import CHECKS, tiny_images, tiny_network
from grata_monai.adapters.wrapping import WrappingAdapter
from grata_monai.bundle import make_adapter
from grata_monai.state import BatchStatistics, MixedStatistics, SourceStatistics

IMAGES = tiny_images(3, size=(16, 16))
COLORS = {"source_mean": (0.6, 0.4, 0.2), "source_std": (0.1, 0.2, 0.3)}
FEWER_VIEWS = {"cotta": {"views": 4}, "memo": {"views": 4}}
METHODS = [name for name, method in ADAPTERS.items() if not issubclass(method, WrappingAdapter)]


def choice(adapter=None, **settings):
    return StatisticsChoice(adapter=adapter or BatchNormAdapt(), **{**COLORS, **settings})


def half_full(network):
    """Return the network with biases at which the masks of both channels are about half full."""
    network.eval()
    with torch.no_grad():
        logits = torch.cat([network(image.to(network[0].weight)) for image in IMAGES])
        network[-1].bias.sub_(logits.transpose(0, 1).flatten(1).quantile(0.5, dim=1))
    return network


def run(adapter, images=IMAGES, network=None):
    """Return a stream's predictions and traces."""
    with adapter.bound(network or half_full(tiny_network())):
        found = []
        for image in images:
            logits = adapter.adapt(image)
            found.append((logits, dict(adapter.trace_)))
    return [logits for logits, _ in found], [trace for _, trace in found]


# -- the formula, plainly -------------------------------------------------------------------


def plain_forward(network, image, source_share):
    """Return logits with mixed statistics, and the mean distance of what enters the BN layers."""
    distances, x = [], image
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            x = F.conv2d(x, layer.weight, layer.bias, padding=layer.padding)
        elif isinstance(layer, nn.BatchNorm2d):
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            unlike = (mean - layer.running_mean) ** 2 / (layer.running_var + layer.eps)
            distances.append(float(unlike.mean()))
            mean = source_share * layer.running_mean + (1 - source_share) * mean
            variance = source_share * layer.running_var + (1 - source_share) * variance
            scale = layer.weight / (variance + layer.eps).sqrt()
            x = (x - mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1) + layer.bias.view(
                1, -1, 1, 1
            )
        elif isinstance(layer, nn.ReLU):
            x = x.clamp(min=0)
    return x[0].numpy(), sum(distances) / len(distances)


def plain_matched(image, t):
    result = image.clone()
    for channel in range(3):
        values = image[0, channel]
        mean, deviation = values.mean(), values.std(correction=0)
        ratio = COLORS["source_std"][channel] / deviation
        shift = t * (COLORS["source_mean"][channel] - mean)
        result[0, channel] = (values - mean) * ratio**t + mean + shift
    return result


def plain_likeness(mask):
    """Return the likeness of one mask, pixel by pixel."""
    pixels = [(y, x) for y, x in np.ndindex(mask.shape) if mask[y, x]]
    if len(pixels) < 4:
        return 0.0
    points = np.array(pixels, float)
    center = points.mean(0)
    covariance = (points - center).T @ (points - center) / len(pixels) + np.eye(2) / 12
    inverse = np.linalg.inv(covariance)
    both = either = 0
    for place in np.ndindex(mask.shape):
        offset = np.array(place) - center
        inside = offset @ inverse @ offset <= 4
        both += inside and mask[place]
        either += inside or mask[place]
    axes = np.sqrt(np.linalg.eigvalsh(covariance))
    return both / either * math.sqrt(axes[0] / axes[1])


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def plain_choice(network, image, *, strengths, sharpness, source_share, trust):
    """Return the probabilities and the candidates' weights, with batch statistics inside."""
    views = [plain_forward(network, plain_matched(image, t), 1.0) for t in strengths]
    closeness = [distance**-sharpness for _, distance in views]
    colors = sum(w * sigmoid(z) for w, (z, _) in zip(closeness, views, strict=True))
    mixed, _ = plain_forward(network, plain_matched(image, max(strengths)), source_share)
    own, _ = plain_forward(network, image, 0.0)
    candidates = np.stack([colors / sum(closeness), sigmoid(mixed), sigmoid(own)])
    likeness = np.array([[plain_likeness(c > 0.5) for c in p] for p in candidates])
    likeness[:, (likeness == 0).all(0)] = 1.0  # alike where no candidate has a mask
    weights = likeness**trust / (likeness**trust).sum(0)
    return (weights[:, :, None, None] * candidates).sum(0), weights


@pytest.mark.parametrize(
    "settings",
    [
        {"strengths": (0.0, 0.5, 1.0), "sharpness": 2.0, "source_share": 0.75, "trust": 32.0},
        {"strengths": (0.8, 0.1), "sharpness": 0.0, "source_share": 0.25, "trust": 1.0},
        {"strengths": (1.0,), "sharpness": 5.0, "source_share": 1.0, "trust": 2.0},
    ],
)
def test_the_whole_formula(settings):
    network = half_full(tiny_network().double()).requires_grad_(False)
    images = [image.double() for image in IMAGES]
    found, traces = run(choice(**settings), images, half_full(tiny_network().double()))
    for image, logits, trace in zip(images, found, traces, strict=True):
        expected, weights = plain_choice(network, image, **settings)
        assert logits.dtype == torch.float64
        np.testing.assert_allclose(sigmoid(logits[0].numpy()), expected, rtol=1e-4)
        for name, weight in zip(("colors", "mixture", "method"), weights, strict=True):
            assert trace[f"weight_{name}"] == pytest.approx(weight.mean(), abs=1e-5)
        shift = np.array(COLORS["source_mean"]) - image.mean((0, 2, 3)).numpy()
        assert trace["color_shift"] == pytest.approx(math.sqrt((shift**2).mean()), rel=1e-5)
        assert trace["updated"] == 1.0
        assert abs(weights - 1 / 3).max() > 0.01  # that is, the test is one


def test_images_of_a_batch_have_colors_and_weights_of_their_own():
    settings = {"adapter": Source(), "source_share": 1.0, "trust": 4.0}  # nothing else joins them
    network, images = half_full(tiny_network().double()), [image.double() for image in IMAGES]
    alone, _ = run(choice(**settings), images, network)
    (together,), _ = run(choice(**settings), [torch.cat(images)], network)
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-6)


# -- its limits -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_the_method_alone_is_the_method_bit_for_bit(name):
    expected, numbers = run(build_adapter(name, **FEWER_VIEWS.get(name, {})), IMAGES[:2])
    inner = build_adapter(name, **FEWER_VIEWS.get(name, {}))
    found, traces = run(choice(inner, candidates=("method",)), IMAGES[:2])
    assert all(map(torch.equal, found, expected))
    for trace, number in zip(traces, numbers, strict=True):
        assert number.items() <= trace.items()
        assert trace["weight_method"] == 1.0


@pytest.mark.parametrize("name", METHODS)
def test_the_own_colors_alone_are_the_source_bit_for_bit_whatever_was_learned(name):
    inner = build_adapter(name, **FEWER_VIEWS.get(name, {}))
    found, _ = run(choice(inner, candidates=("colors",), strengths=(0.0,)), IMAGES[:2])
    source = half_full(tiny_network())
    with torch.no_grad():
        assert all(torch.equal(f, source(image)) for f, image in zip(found, IMAGES, strict=False))


def test_source_statistics_alone_make_the_mixture_the_source_on_matched_colors():
    found, _ = run(choice(candidates=("mixture",), source_share=1.0))
    for logits, image in zip(found, IMAGES, strict=True):
        expected, _ = plain_forward(
            half_full(tiny_network().double()).requires_grad_(False),
            plain_matched(image.double(), 1.0),
            1.0,
        )
        np.testing.assert_allclose(logits[0], expected, rtol=1e-3, atol=1e-4)


def test_without_trust_it_is_the_plain_mean_probability():
    single = [run(choice(candidates=(k,)))[0] for k in ("colors", "mixture", "method")]
    found, traces = run(choice(trust=0.0))
    for logits, *candidates in zip(found, *single, strict=True):
        expected = torch.stack(candidates).double().sigmoid().mean(0)
        torch.testing.assert_close(logits.double().sigmoid(), expected, rtol=1e-5, atol=1e-6)
    for trace in traces:
        assert trace["weight_colors"] == pytest.approx(1 / 3)


def test_unbounded_trust_takes_one_candidate_per_channel():
    single = [run(choice(candidates=(k,)))[0] for k in ("colors", "mixture", "method")]
    found, _ = run(choice(trust=1e6))
    for logits, *candidates in zip(found, *single, strict=True):
        for channel in range(2):
            near = [
                torch.allclose(logits[:, channel], c[:, channel], atol=1e-4) for c in candidates
            ]
            assert any(near)


@pytest.mark.parametrize("candidates", [("colors", "mixture", "method"), ("method", "colors")])
def test_weights_sum_to_one_and_belong_to_their_names(candidates):
    _, traces = run(choice(candidates=candidates))
    reversed_, others = run(choice(candidates=candidates[::-1]))
    expected, _ = run(choice(candidates=candidates))
    torch.testing.assert_close(reversed_, expected)
    for trace, other in zip(traces, others, strict=True):
        weights = {k: v for k, v in trace.items() if k.startswith("weight_")}
        assert weights.keys() == {f"weight_{k}" for k in candidates}
        assert sum(weights.values()) == pytest.approx(1.0)
        assert other == pytest.approx(trace)


# -- beside the method inside ---------------------------------------------------------------


def test_grata_inside_works_just_as_alone():
    plain, wrapped = GraTa(beta=0.05), StatisticsChoice(adapter=GraTa(beta=0.05))
    with plain.bound(tiny_network()), wrapped.bound(tiny_network()):
        for image in IMAGES:
            plain.adapt(image)
            wrapped.adapt(image)
            assert plain.trace_.items() <= wrapped.trace_.items()
            for name, value in plain.network.state_dict().items():
                assert torch.equal(wrapped.network.state_dict()[name], value), name
        assert not torch.equal(wrapped.network[1].weight, tiny_network()[1].weight)
        assert wrapped.adapted_parameters == plain.adapted_parameters


def test_source_candidates_see_the_source_and_the_method_its_own_state():
    network, source = tiny_network(), tiny_network().state_dict()
    seen = []

    def look(*_):
        same = all(torch.equal(v, source[n]) for n, v in network.state_dict().items())
        seen.append((same, type(network[1].forward.func.__self__)))

    adapter = StatisticsChoice(adapter=GraTa(beta=0.05))
    with adapter.bound(network):
        adapter.adapt(IMAGES[0])
        hook = network.register_forward_pre_hook(look)
        adapter.adapt(IMAGES[1])
        hook.remove()
    assert seen[-5:-1] == [(True, SourceStatistics)] * 3 + [(True, MixedStatistics)]
    assert seen[-1] == (False, BatchStatistics)


@pytest.mark.parametrize("candidate", ["colors", "mixture"])
def test_an_exception_while_the_source_predicts_leaves_the_methods_state(candidate):
    adapter = StatisticsChoice(adapter=Tent(beta=0.05), candidates=(candidate, "method"))
    network = tiny_network()
    before = portrait(network)
    with adapter.bound(network):
        adapter.adapt(IMAGES[0])
        calls = []

        def fail(*_):
            calls.append(None)
            if isinstance(network[1].forward.func.__self__, SourceStatistics | MixedStatistics):
                raise KeyError("deliberate")

        hook = network.register_forward_pre_hook(fail)
        with pytest.raises(KeyError, match="deliberate"):
            adapter.adapt(IMAGES[1])
        hook.remove()
        assert calls
        moved = {name: value.clone() for name, value in network.state_dict().items()}
        assert isinstance(network[1].forward.func.__self__, BatchStatistics)
        found = adapter.adapt(IMAGES[2])
    with Tent(beta=0.05).bound(tiny_network()) as plain:
        [plain.adapt(image) for image in IMAGES[:2]]
        assert all(torch.equal(plain.network.state_dict()[n], v) for n, v in moved.items())
    assert bool(torch.isfinite(found).all())
    assert portrait(network) == before


@pytest.mark.parametrize("name", ["memo", "tent"])
def test_colors_are_read_from_the_source_even_if_the_first_layer_has_moved(name):
    """MEMO moves all weights; what the source remembers must not move with them."""
    settings = {"life_cycle": "per_dataset", "beta": 0.05, **FEWER_VIEWS.get(name, {})}
    inner = build_adapter(name, **settings)
    _, traces = run(StatisticsChoice(adapter=inner))
    _, expected = run(StatisticsChoice(adapter=Source()))
    for trace, other in zip(traces, expected, strict=True):
        assert trace["color_shift"] == other["color_shift"]


def test_a_broken_image_is_predicted_by_the_method_and_forgotten():
    broken = torch.full_like(IMAGES[0], torch.nan)
    adapter = StatisticsChoice(adapter=GraTa(beta=0.05))
    found, traces = run(adapter, [IMAGES[0], broken, IMAGES[1]])
    expected, _ = run(adapter, IMAGES[:2])
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[2], expected[1])
    assert traces[1] == {"updated": 0.0}


def test_empty_masks_share_the_weights():
    network = tiny_network()
    with torch.no_grad():
        network[-1].bias.fill_(-100.0)
    found, (trace,) = run(choice(), IMAGES[:1], network)
    assert trace["weight_mixture"] == pytest.approx(1 / 3)
    assert bool((found[0] < -50).all())


def test_weights_are_known_also_if_it_predicts_before_the_update():
    _, traces = run(choice(Tent(predict="before_update", beta=0.05)))
    for trace in traces:
        assert sum(trace[f"weight_{k}"] for k in ("colors", "mixture", "method")) == pytest.approx(
            1
        )


def test_windows_of_an_image_have_colors_of_their_own():
    def halves(images, predict):
        return torch.cat([predict(images[..., :8]), predict(images[..., 8:])], dim=-1)

    adapter = choice(Source())
    with adapter.bound(tiny_network()):
        found = adapter.adapt(IMAGES[0], infer=halves)
        expected = [adapter.adapt(half) for half in IMAGES[0].split(8, dim=-1)]
    torch.testing.assert_close(found, torch.cat(expected, dim=-1))


def test_under_an_open_guard_it_is_itself():
    inner = StatisticsChoice(adapter=GraTa(beta=0.05))
    expected, numbers = run(inner)
    guard = Guard(adapter=inner, objective=None, max_change=1.0)
    found, traces = run(guard)
    assert all(map(torch.equal, found, expected))
    for trace, number in zip(traces, numbers, strict=True):
        assert trace["accepted"] == 1.0
        assert trace["color_shift"] == number["color_shift"]


def test_a_guard_takes_back_what_the_method_inside_learned():
    guard = Guard(adapter=choice(Tent(beta=5.0)), objective=None, max_change=0.0)
    with guard.bound(tiny_network()):
        guard.adapt(IMAGES[0])
        assert guard.trace_["accepted"] == 0.0
        for name, value in tiny_network().state_dict().items():
            assert torch.equal(guard.network.state_dict()[name], value)


# -- settings -------------------------------------------------------------------------------


def test_by_name_as_a_configuration_spells_it():
    assert isinstance(build_adapter("statistics_choice").adapter, BatchNormAdapt)
    adapter = build_adapter("statistics_choice", adapter="grata", beta=1e-3, trust=2.0)
    assert isinstance(adapter.adapter, GraTa)
    assert (adapter.adapter.beta, adapter.trust) == (1e-3, 2.0)
    options = json.loads(
        '{"adapter": "tent", "candidates": ["colors", "method"], "strengths": [0, 1],'
        ' "source_mean": [0.5, 0.4, 0.3], "source_std": [0.1, 0.1, 0.1], "betas": [0.5, 0.9]}'
    )
    adapter = make_adapter("statistics_choice", beta=1e-3, seed=5, options=options)
    assert adapter.candidates == ("colors", "method")
    assert adapter.strengths == (0.0, 1.0)
    assert adapter.source_mean == (0.5, 0.4, 0.3)
    assert (adapter.seed, adapter.life_cycle) == (5, "per_dataset")
    assert (adapter.adapter.beta, adapter.adapter.betas) == (1e-3, (0.5, 0.9))
    expected, _ = run(choice(Tent(beta=1e-3, betas=(0.5, 0.9)), **adapter_settings(adapter)))
    found, _ = run(adapter)
    assert all(map(torch.equal, found, expected))


def adapter_settings(adapter):
    names = ("candidates", "strengths", "source_mean", "source_std")
    return {name: getattr(adapter, name) for name in names}


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"candidates": ()}, TypeError),
        ({"candidates": "colors"}, TypeError),
        ({"candidates": ("colours",)}, ValueError),
        ({"strengths": ()}, TypeError),
        ({"strengths": 0.5}, TypeError),
        ({"strengths": (0.5, 1.1)}, ValueError),
        ({"strengths": (-0.1,)}, ValueError),
        ({"sharpness": -1.0}, ValueError),
        ({"source_share": 1.1}, ValueError),
        ({"trust": -1.0}, ValueError),
        ({"spread": 0.0}, ValueError),
        ({"source_std": None}, ValueError),
        ({"source_std": (0.1, 0.2)}, ValueError),
        ({"source_mean": "red"}, TypeError),
        ({"source_mean": (0.1, math.nan, 0.3)}, ValueError),
    ],
)
def test_bad_settings(settings, error):
    (name,) = settings
    with pytest.raises(error, match=f"'{name}'.* of StatisticsChoice"):
        choice(**settings)


def test_no_method_inside():
    with pytest.raises(TypeError, match="'adapter' parameter of StatisticsChoice must be an Ada"):
        StatisticsChoice(adapter="ptbn")


def test_colors_of_the_wrong_length_name_the_channels_before_anything_is_learned():
    adapter = choice(Tent(beta=0.05), source_mean=(0.5,), source_std=(0.1,))
    with adapter.bound(tiny_network()):
        with pytest.raises(ValueError, match=r"'source_mean'.*each of the 3 channels.*Got 1"):
            adapter.adapt(IMAGES[0])
        for name, value in tiny_network().state_dict().items():
            assert torch.equal(adapter.network.state_dict()[name], value)


def test_networks_that_remember_no_source():
    bare = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 1))
    with pytest.raises(ValueError, match="no batch-normalization layer"):
        choice(Source()).bind(bare)
    forgetful = tiny_network()
    forgetful[5] = nn.BatchNorm2d(6, track_running_stats=False)
    before = portrait(forgetful)
    with pytest.raises(ValueError, match=r"Layer '5'.*keeps no running statistics"):
        choice().bind(forgetful)
    assert portrait(forgetful) == before
    later = nn.Sequential(nn.Conv2d(3, 3, 1), *tiny_network())
    with pytest.raises(ValueError, match="Give source_mean and source_std"):
        StatisticsChoice(adapter=BatchNormAdapt()).bind(later)
    assert bool(torch.isfinite(run(choice(), IMAGES[:1], later)[0][0]).all())


def test_the_given_method_stays_free_and_the_network_is_given_back():
    method, network = Tent(), tiny_network()
    adapter = choice(method)
    with adapter.bound(network):
        adapter.adapt(IMAGES[0])
        assert method.network is None
    adapter.bind(network)
    del adapter
    gc.collect()
    with method.bound(network):
        pass


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract_before_the_update(check):
    check(choice(Tent(beta=0.1, predict="before_update")))
