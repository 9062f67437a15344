# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The guard: what it takes back, that nothing of it is left, and what it lets pass."""

from __future__ import annotations

import gc
import json

import pytest
import torch

from grata_monai.adapters import Adapter, DomainAdaptor, GraTa, Guard, Tent, build_adapter
from grata_monai.adapters.checks import CHECKS, tiny_images, tiny_network
from grata_monai.bundle import make_adapter
from grata_monai.objectives import Objective
from grata_monai.state import AdamStepper, MovingAverageStatistics, bn_affine_parameters

IMAGES = tiny_images(6)
OPEN = {"objective": None, "max_change": 1.0}


class Wild(Adapter):
    """Has every kind of state, moves all of it at random, and goes wrong at bright images."""

    def __init__(self, *, fault="explodes", life_cycle="per_dataset", seed=0):
        super().__init__(life_cycle=life_cycle, seed=seed)
        self.fault = fault

    def _policy(self):
        return MovingAverageStatistics(momentum=0.3)

    def _parameters(self, network):
        return bn_affine_parameters(network)

    def _start(self):
        self.memory = []
        self.stepper = AdamStepper(list(self._bound().parameters.values()))

    def _update(self, images):
        binding = self._bound()
        noise = [torch.randn(p.shape, generator=self._generator) for p in self.stepper.parameters]
        self.memory.append(images.mean())
        with torch.no_grad(), binding.policy.updating():
            binding.network(images)
        self.stepper.step(noise, 1e-3 * (self.images_seen_ + 1))
        if images.mean() > 1:
            self._go_wrong()
        return {"memory": float(len(self.memory))}

    def _go_wrong(self):
        parameters = self.stepper.parameters
        with torch.no_grad():
            if self.fault == "explodes":
                [p.add_(100 * torch.randn(p.shape, generator=self._generator)) for p in parameters]
            if self.fault == "parameter":
                parameters[0][0] = torch.nan
            if self.fault == "memory":
                self.memory.append(torch.tensor(torch.inf))
            if self.fault == "moments":
                self.stepper.moments["exp_avg"][1][0] = torch.inf
        if self.fault == "raises":
            raise KeyError("deliberate")

    def _method_state(self):
        return {"optimizer": self.stepper.state_dict(), "memory": list(self.memory)}

    def _load_method_state(self, state):
        self.stepper.load_state_dict(state["optimizer"])
        self.memory = list(state["memory"])


class Brightness(Objective):
    """Says of each image what its first pixel says, so that a test can choose."""

    def __init__(self, *, values):
        self.values = values
        self.calls = 0

    def __call__(self, network, images, generator):
        self.calls += 1
        return torch.tensor(self.values[(self.calls - 1) % len(self.values)])


def bright(image):
    return image + 2.0


def states_equal(first, second):
    """Compare nested states bit for bit; a stepper is given its learning rate at every step."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        first, second = ({k: v for k, v in s.items() if k != "lr"} for s in (first, second))
        return first.keys() == second.keys() and all(
            states_equal(first[k], second[k]) for k in first
        )
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(states_equal, first, second))
    return first == second


@pytest.mark.parametrize("fault", ["explodes", "parameter", "memory", "moments"])
@pytest.mark.parametrize("at", [0, 2])
def test_a_wrong_update_is_as_if_the_image_had_never_been(fault, at):
    guard = Guard(adapter=Wild(fault=fault), tolerance=100.0, max_change=0.9)
    with guard.bound(tiny_network()):
        expected = [guard.adapt(image) for image in IMAGES]
        guard.reset()
        found = [guard.adapt(image) for image in IMAGES[:at]]
        before, network = guard.state_dict(), guard.network.state_dict()
        network = {name: value.clone() for name, value in network.items()}
        logits = guard.adapt(bright(IMAGES[0]))
        assert guard.trace_["accepted"] == guard.trace_["updated"] == 0.0
        assert bool(torch.isfinite(logits).all())
        assert states_equal(guard.state_dict(), before)
        assert states_equal(dict(guard.network.state_dict()), network)
        assert guard.images_seen_ == at
        for image in IMAGES[at:]:
            found.append(guard.adapt(image))
            assert guard.trace_["accepted"] == guard.trace_["updated"] == 1.0
    assert all(map(torch.equal, found, expected))
    assert not torch.equal(expected[0], expected[1])


def test_an_exception_in_the_method_is_undone_and_raised():
    guard = Guard(adapter=Wild(fault="raises"), **OPEN)
    with guard.bound(tiny_network()):
        guard.adapt(IMAGES[0])
        before = guard.state_dict()
        with pytest.raises(KeyError, match="deliberate"):
            guard.adapt(bright(IMAGES[1]))
        assert states_equal(guard.state_dict(), before)


def test_gradient_methods_forget_the_moments_of_a_refused_step():
    with Tent(beta=0.05).bound(tiny_network()) as plain:
        expected = [plain.adapt(image) for image in (IMAGES[0], IMAGES[2])]
    objective = Brightness(values=[0.0, 0.0, 0.0, 1.0, 0.0, 0.0])  # rises at the second image
    guard = Guard(adapter=Tent(beta=0.05), objective=objective, max_change=1.0)
    with guard.bound(tiny_network()):
        found = [guard.adapt(image) for image in IMAGES[:3]]
        steps = guard.state_dict()["method"]["method"]["optimizer"]["step"]
    assert set(map(int, steps)) == {2}
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[2], expected[1])


@pytest.mark.parametrize("method", ["tent", "grata", "cotta", "dua", "vptta", "diga", "ptbn"])
def test_an_open_guard_is_the_method_itself(method):
    images = IMAGES[:3]
    with build_adapter(method).bound(tiny_network()) as plain:
        expected = [plain.adapt(image) for image in images]
        numbers = plain.trace_
    guard = build_adapter("guard", adapter=method, tolerance=100.0, max_change=1.0)
    with guard.bound(tiny_network()):
        found = [guard.adapt(image) for image in images]
    assert all(map(torch.equal, found, expected))
    assert numbers.items() <= guard.trace_.items()


@pytest.mark.parametrize(
    ("before", "after", "accepted"),
    [(0.0, 0.25, 1.0), (0.0, 0.2500001, 0.0), (1.0, 0.0, 1.0), (0.0, float("nan"), 0.0)],
)
def test_tolerance(before, after, accepted):
    objective = Brightness(values=[before, after])
    guard = Guard(adapter=Tent(), objective=objective, tolerance=0.25, max_change=1.0)
    with guard.bound(tiny_network()):
        guard.adapt(IMAGES[0])
    assert guard.trace_["accepted"] == accepted
    assert guard.trace_["objective_before"] == before


def test_largest_change():
    def change_and_verdict(max_change):
        guard = Guard(adapter=Tent(beta=0.02), objective="none", max_change=max_change)
        with guard.bound(tiny_network()):
            guard.adapt(IMAGES[0])
        return guard.trace_["change"], guard.trace_["accepted"]

    with Tent(beta=0.02, predict="before_update").bound(tiny_network()) as adapter:
        first = adapter.adapt(IMAGES[0]) > 0
        with torch.no_grad():
            second = adapter.network.eval()(IMAGES[0]) > 0
    dice = [
        2 * float((a & b).sum()) / float(a.sum() + b.sum())
        for a, b in zip(first[0], second[0], strict=True)
    ]
    change, _ = change_and_verdict(1.0)
    assert change == pytest.approx(1 - min(dice))
    assert 0 < change < 1
    assert change_and_verdict(change) == (change, 1.0)
    assert change_and_verdict(change * 0.999) == (change, 0.0)


def test_the_default_objective_is_the_full_binary_entropy_of_the_prediction():
    guard = Guard(adapter=Tent(beta=0.1), tolerance=100.0, max_change=1.0)
    with guard.bound(tiny_network()):
        logits = guard.adapt(IMAGES[0])
    p = torch.sigmoid(logits.double())
    entropy = -(p * p.log() + (1 - p) * (1 - p).log())
    assert guard.trace_["objective_after"] == pytest.approx(entropy.sum(1).mean().item(), rel=1e-5)


def test_objectives_that_draw_or_need_a_head_leave_the_stream_alone():
    images = IMAGES[:3]
    with GraTa(beta=0.01).bound(tiny_network()) as plain:
        expected = [plain.adapt(image) for image in images]
    for objective in ("consistency", "denoising"):
        settings = {"objective": objective, "tolerance": 100.0, "max_change": 1.0}
        guard = Guard(adapter=GraTa(beta=0.01), **settings)
        with guard.bound(tiny_network()):
            assert all(map(torch.equal, [guard.adapt(image) for image in images], expected))
        assert guard.trace_["objective_before"] != guard.trace_["objective_after"]
    with pytest.raises(ValueError, match="Rotation needs a network with a 'rotation' head"):
        Guard(adapter=Tent(), objective="rotation").bind(tiny_network())


def test_state_round_trip_and_states_of_other_methods():
    with Guard(adapter=Wild(), **OPEN).bound(tiny_network()) as guard:
        guard.adapt(IMAGES[0])
        state = guard.state_dict()
        expected = [guard.adapt(image) for image in IMAGES[1:3]]
    with Guard(adapter=Wild(), **OPEN).bound(tiny_network()) as other:
        other.load_state_dict(state)
        assert all(map(torch.equal, [other.adapt(image) for image in IMAGES[1:3]], expected))
    with Guard(adapter=Tent(), **OPEN).bound(tiny_network()) as other:
        with pytest.raises(ValueError, match="damaged, nothing was changed"):
            other.load_state_dict(state)


def test_a_broken_image_is_not_adapted_to():
    with Guard(adapter=Tent()).bound(tiny_network()) as guard:
        guard.adapt(torch.full((1, 3, 12, 12), torch.nan))
    assert guard.trace_ == {"updated": 0.0, "accepted": 0.0}


def test_the_given_method_stays_free_and_the_network_is_given_back():
    method, network = Tent(), tiny_network()
    guard = Guard(adapter=method)
    with guard.bound(network):
        guard.adapt(IMAGES[0])
        assert method.network is None
        with method.bound(tiny_network()):
            pass
        with pytest.raises(RuntimeError, match="bound by another adapter"):
            method.bind(network)
    with method.bound(network):
        pass
    guard.bind(network)
    del guard
    gc.collect()
    with method.bound(network):
        pass


def test_settings_come_from_the_method_unless_given():
    guard = Guard(adapter=Tent(life_cycle="never", predict="before_update", seed=3))
    assert (guard.life_cycle, guard.predict, guard.seed) == ("never", "before_update", 3)
    guard = Guard(adapter=Tent(life_cycle="never", seed=3), life_cycle="per_image", seed=0)
    assert (guard.life_cycle, guard.seed) == ("per_image", 0)


def test_by_name_as_a_configuration_spells_it():
    assert isinstance(build_adapter("guard").adapter, GraTa)
    options = json.loads('{"adapter": "tent", "max_change": 0.1, "betas": [0.5, 0.9]}')
    guard = make_adapter("guard", beta=1e-3, seed=5, options=options)
    assert guard.max_change == 0.1
    assert guard.seed == 5
    assert (guard.adapter.beta, guard.adapter.betas) == (1e-3, (0.5, 0.9))
    assert build_adapter("guard", adapter=Tent(beta=0.5)).adapter.beta == 0.5
    with pytest.raises(ValueError, match=r"'adapter' parameter of Guard.*did you mean 'tent'"):
        build_adapter("guard", adapter="tnt")
    with pytest.raises(ValueError, match=r"Tent.*Got 'mapping'"):
        build_adapter("guard", adapter="tent", mapping="linear")
    with pytest.raises(ValueError, match=r"Guard.*Got 'beta'"):
        build_adapter("guard", adapter=Tent(), beta=1e-3)


@pytest.mark.parametrize(
    "settings",
    [{"tolerance": -0.1}, {"tolerance": None}, {"max_change": 1.1}, {"objective": "entrpy"}],
)
def test_bad_settings(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"'{name}' parameter of Guard"):
        Guard(adapter=Tent(), **settings)


def test_the_constants_of_one_image_do_not_judge_the_next():
    images = tiny_images(2)
    method = DomainAdaptor(life_cycle="per_dataset", beta=0.0)
    with method.bound(tiny_network()) as free:
        for image in images:
            expected = free.adapt(image)
    with Guard(adapter=method, tolerance=0.0, max_change=0.0).bound(tiny_network()) as adapter:
        for image in images:  # without a step nothing changes, so nothing may be refused
            found = adapter.adapt(image)
            assert adapter.trace_["accepted"] == 1.0
            assert adapter.trace_["objective_before"] == adapter.trace_["objective_after"]
    assert torch.equal(found, expected)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "guard",
    [
        Guard(adapter=Wild(), **OPEN),
        Guard(adapter=Tent(beta=0.1, predict="before_update"), **OPEN),
        Guard(adapter=Guard(adapter=Tent(beta=0.1), **OPEN), **OPEN),
    ],
    ids=["wild", "before update", "nested"],
)
def test_contract(guard, check):
    check(guard)
