# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""CoTTA against three separate networks, its views put back by torch's own rotations, its draws."""

from __future__ import annotations

import copy

import pytest
import torch

from grata_monai.adapters import BatchNormAdapt, CoTTA
from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.transforms.random_view import RandomView
from tests.parity.textbook import prepare

TURNS = {"rot90": 1, "rot180": 2, "rot270": 3}
FLIPS = {"hflip": [3], "vflip": [2]}


def put_back(name, logits):
    if name in TURNS:
        return torch.rot90(logits, -TURNS[name], (2, 3))
    return logits.flip(FLIPS[name]) if name in FLIPS else logits


def mean_over_views(teacher, image, views, generator):
    total = 0
    for _ in range(views):
        view = RandomView().draw(image, generator)
        total = total + put_back(view.geometry.name, teacher(view.apply(image)))
    return total / views


def other_parameters(network):
    """Parameters of a teacher that is not the student, as after a while."""
    generator = torch.Generator().manual_seed(7)
    return {
        name: p.detach() + 0.1 * torch.randn(p.shape, generator=generator)
        for name, p in network.named_parameters()
    }


def textbook_cotta(network, images, *, beta, ema, views=None):
    """Return teacher logits before and after each update; no element is restored."""
    student, _ = prepare(network)
    student.requires_grad_(True)
    teacher = copy.deepcopy(student)
    teacher.load_state_dict(other_parameters(teacher), strict=False)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(student.parameters(), lr=beta)
    results = []
    for image in images:
        with torch.no_grad():
            before = teacher(image)
            target = (
                torch.sigmoid(mean_over_views(teacher, image, views, generator))
                if views
                else torch.sigmoid(before)
            )
        p = torch.sigmoid(student(image))
        loss = -(target * p.log() + (1 - target) * (1 - p).log()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if views:  # the restored elements are drawn, too, though none is restored
            for parameter in student.parameters():
                torch.rand(parameter.shape, generator=generator)
        with torch.no_grad():
            for mean, value in zip(teacher.parameters(), student.parameters(), strict=True):
                mean.copy_(ema * mean + (1 - ema) * value)
            results.append((before, teacher(image), loss.item()))
    return results


@pytest.mark.parametrize("predict", ["before_update", "after_update"])
@pytest.mark.parametrize("views", [None, 4])
def test_equals_the_textbook(predict, views):
    images = [image.double() for image in tiny_images(4)]
    expected = textbook_cotta(tiny_network().double(), images, beta=0.02, ema=0.9, views=views)
    adapter = CoTTA(
        beta=0.02,
        ema=0.9,
        threshold=1.0 if views else 0.0,
        views=views or 32,
        restore=0.0,
        predict=predict,
    )
    with adapter.bound(tiny_network().double()) as bound:
        state = bound.state_dict()
        state["method"]["teacher"] = other_parameters(bound.network)
        bound.load_state_dict(state)
        for image, (before, after, loss) in zip(images, expected, strict=True):
            logits = after if predict == "after_update" else before
            torch.testing.assert_close(adapter.adapt(image), logits, rtol=1e-6, atol=1e-8)
            assert adapter.trace_["loss"] == pytest.approx(loss, rel=1e-6)
            assert adapter.trace_["averaged"] == float(bool(views))


def test_confidence_is_the_source_s_whatever_was_learned():
    images = tiny_images(3)
    source, _ = prepare(tiny_network())
    with CoTTA(beta=0.1, views=2, ema=0.0).bound(tiny_network()) as adapter:
        for image in images:
            adapter.adapt(image)
            p = torch.sigmoid(source(image))
            expected = torch.where(p > 0.5, p, 1 - p).mean().item()
            assert adapter.trace_["confidence"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("offset", "averaged"), [(-1e-4, 0.0), (1e-4, 1.0)])
def test_views_are_averaged_below_the_threshold(offset, averaged):
    image = tiny_images()[0]
    with CoTTA(views=1).bound(tiny_network()) as adapter:
        adapter.adapt(image)
        confidence = adapter.trace_["confidence"]
    with CoTTA(views=1, threshold=confidence + offset).bound(tiny_network()) as adapter:
        adapter.adapt(image)
        assert adapter.trace_["averaged"] == averaged


def moved_elements(restore):
    """Share of the student's elements that differ from the source after one large step."""
    network = tiny_network()
    with CoTTA(beta=0.1, views=2, restore=restore).bound(network) as adapter:
        adapter.adapt(tiny_images()[0])
        pairs = list(zip(network.parameters(), tiny_network().parameters(), strict=True))
        moved = sum((a != b).sum().item() for a, b in pairs)
        teacher = adapter.state_dict()["method"]["teacher"]
        assert any(not torch.equal(teacher[n], p) for n, p in tiny_network().named_parameters())
    return moved / sum(a.numel() for a, _ in pairs)


def test_restored_elements():
    assert moved_elements(1.0) == 0.0
    everything = moved_elements(0.0)
    assert everything > 0.7  # channels that the ReLU cuts off have no gradient
    assert moved_elements(0.3) == pytest.approx(0.7 * everything, abs=0.06)


@pytest.mark.parametrize("ema", [0.0, 1.0])
def test_limits_of_the_moving_average(ema):
    network, image = tiny_network(), tiny_images()[0]
    adapter = CoTTA(beta=0.1, ema=ema, views=2, restore=0.0)
    with adapter.bound(network):
        adapter.adapt(image)
        teacher = adapter.state_dict()["method"]["teacher"]
        holder = network if ema == 0.0 else tiny_network()
        for name, parameter in holder.named_parameters():
            assert torch.equal(teacher[name], parameter), name


def test_the_published_rate_of_the_teacher():
    network = tiny_network().double()
    source = {name: p.detach().clone() for name, p in network.named_parameters()}
    with CoTTA(beta=0.1, views=2, restore=0.0).bound(network) as adapter:
        adapter.adapt(tiny_images()[0].double())
        teacher = adapter.state_dict()["method"]["teacher"]
        for name, parameter in network.named_parameters():
            expected = 0.999 * source[name] + 0.001 * parameter.detach()
            torch.testing.assert_close(teacher[name], expected, rtol=0, atol=1e-12)


def test_without_views_the_student_has_nothing_to_learn():
    """Teacher and student start as one: zero gradient, so the method is PTBN."""
    images = tiny_images(3)
    with BatchNormAdapt().bound(tiny_network()) as adapter:
        expected = [adapter.adapt(image) for image in images]
    with CoTTA(beta=0.1, threshold=0.0, restore=0.0).bound(tiny_network()) as adapter:
        for image, logits in zip(images, expected, strict=True):
            torch.testing.assert_close(adapter.adapt(image), logits)
            assert adapter.trace_["gradient_norm"] < 1e-6


@pytest.mark.parametrize("name", ["ema", "threshold", "restore"])
def test_bad_settings(name):
    with pytest.raises(ValueError, match=f"'{name}' parameter of CoTTA"):
        CoTTA(**{name: 1.5})
