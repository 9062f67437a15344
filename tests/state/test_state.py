# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Snapshot, parameter choice and parameter moves."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import nn

from grata_monai.adapters.checks import tiny_network
from grata_monai.state import (
    AdamStepper,
    NonFiniteUpdateError,
    Snapshot,
    bn_affine_parameters,
    displaced,
    evaluating,
    hash_of_tensors,
    replaced,
    select_parameters,
)


def test_snapshot_restores_values_flags_and_gradients():
    network = tiny_network().train()
    network[1].eval()
    network[0].weight.requires_grad_(False)
    gradient = torch.ones_like(network[0].bias)
    network[0].bias.grad = gradient
    snapshot = Snapshot(network)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.add_(1)
    network.eval().requires_grad_(True)
    network.zero_grad()
    snapshot.restore()
    for name, value in tiny_network().state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    assert network.training
    assert not network[1].training
    assert not network[0].weight.requires_grad
    assert network[0].bias.grad is gradient


def test_hash_of_tensors_is_that_of_names_shapes_dtypes_and_values():
    values = torch.arange(6, dtype=torch.float32).reshape(1, 2, 1, 3)
    by_hand = hashlib.sha256(b"a (1, 2, 1, 3) torch.float32" + values.numpy().tobytes()).hexdigest()
    found = hash_of_tensors({"a": values})
    assert found == by_hand
    assert hash_of_tensors({"a": values.to(memory_format=torch.channels_last)}) == found
    assert hash_of_tensors({"a": nn.Parameter(values)}) == found
    for name, other in (("b", values), ("a", values.double()), ("a", values[0]), ("a", -values)):
        assert hash_of_tensors({name: other}) != found
    assert hash_of_tensors({}) == hashlib.sha256().hexdigest()


def test_evaluating_gives_each_flag_back_after_an_exception():
    network = tiny_network().train()
    network[1].eval()

    def run():
        with evaluating(network):
            assert not any(module.training for module in network.modules())
            raise KeyError("deliberate")

    with pytest.raises(KeyError, match="deliberate"):
        run()
    assert network.training
    assert not network[1].training


def test_bn_affine_parameters_are_scale_and_shift_of_each_layer():
    expected = {"1.weight", "1.bias", "5.weight", "5.bias"}
    assert set(bn_affine_parameters(tiny_network())) == expected
    assert set(select_parameters(tiny_network())) == expected
    assert set(bn_affine_parameters(tiny_network(), prefix="5")) == {"5.weight", "5.bias"}


def test_all_parameters():
    network = tiny_network()
    assert set(select_parameters(network, "all")) == {n for n, _ in network.named_parameters()}


def test_nothing_to_select():
    with pytest.raises(ValueError, match="no batch-normalization layer with scale and shift"):
        bn_affine_parameters(nn.BatchNorm2d(3, affine=False))
    with pytest.raises(ValueError, match="under 'decoder'"):
        select_parameters(tiny_network(), "all", prefix="decoder")
    with pytest.raises(ValueError, match="did you mean 'bn_affine'"):
        select_parameters(tiny_network(), "bn_afine")


def test_displaced_moves_and_comes_back_bit_for_bit():
    parameter = nn.Parameter(torch.tensor([1.0, 1e-8, 3.3]))
    original = parameter.detach().clone()
    direction = torch.tensor([0.1, 1e8, 1 / 3])
    with displaced([parameter], [direction]):
        assert torch.equal(parameter.detach(), original - direction)
    assert torch.equal(parameter.detach(), original)
    assert not torch.equal((original - direction) + direction, original)

    def fail():
        with displaced([parameter], [direction]):
            raise KeyError("deliberate")

    with pytest.raises(KeyError, match="deliberate"):
        fail()
    assert torch.equal(parameter.detach(), original)


def test_replaced_puts_values_in_and_gives_the_own_back_bit_for_bit():
    parameters = [nn.Parameter(torch.tensor([1.0, 1e-8])), nn.Parameter(torch.tensor(3.3))]
    originals = [parameter.detach().clone() for parameter in parameters]
    values = [torch.tensor([7.0, torch.nan]), torch.tensor(-1.0)]
    kept = [value.clone() for value in values]
    objects = list(map(id, parameters))
    with replaced(parameters, values):
        assert parameters[0][0] == 7.0
        assert parameters[0][1].isnan()
        assert parameters[1] == -1.0
        with torch.no_grad():
            parameters[1].add_(5)
    assert all(map(torch.equal, parameters, originals))
    assert list(map(id, parameters)) == objects
    torch.testing.assert_close(values, kept, rtol=0, atol=0, equal_nan=True)


def test_replaced_gives_back_after_an_exception_and_if_values_are_missing():
    parameters = [nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(2.0))]

    def fail(values):
        with replaced(parameters, values):
            raise KeyError("deliberate")

    with pytest.raises(KeyError, match="deliberate"):
        fail([torch.tensor(3.0), torch.tensor(4.0)])
    with pytest.raises(ValueError, match="shorter"):
        fail([torch.tensor(3.0)])
    assert [parameter.item() for parameter in parameters] == [1.0, 2.0]


def test_first_adam_step_has_the_length_of_the_learning_rate():
    parameter = nn.Parameter(torch.zeros(2))
    stepper = AdamStepper([parameter])
    stepper.step([torch.tensor([5.0, -0.01])], 1e-3)
    torch.testing.assert_close(parameter.detach(), torch.tensor([-1e-3, 1e-3]), rtol=1e-4, atol=0)
    assert parameter.grad is None


def test_adam_by_hand_over_two_steps():
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    stepper = AdamStepper([parameter], betas=(0.9, 0.99))
    value, m, v = 0.0, 0.0, 0.0
    for count, (gradient, rate) in enumerate([(2.0, 0.1), (-1.0, 0.05)], start=1):
        stepper.step([torch.tensor([gradient], dtype=torch.float64)], rate)
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
        value -= rate * (m / (1 - 0.9**count)) / ((v / (1 - 0.99**count)) ** 0.5 + 1e-8)
    assert parameter.item() == pytest.approx(value, rel=1e-10)


def test_a_non_finite_gradient_changes_nothing():
    parameter = nn.Parameter(torch.zeros(2))
    stepper = AdamStepper([parameter])
    with pytest.raises(NonFiniteUpdateError, match="gradient is not finite"):
        stepper.step([torch.tensor([1.0, torch.inf])], 1e-3)
    assert torch.equal(parameter.detach(), torch.zeros(2))
    assert str(stepper.state_dict()) == str(AdamStepper([parameter]).state_dict())
