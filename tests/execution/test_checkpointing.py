# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpointed networks: the same bits from less memory, and nothing noticed from outside."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import AttentionUnet, BasicUNet, SegResNet, UNet
from torch import nn

from grata_monai.adapters import ADAPTERS, GraTa, build_adapter
from grata_monai.adapters.check_tools import TinyNetwork, portrait, tiny_images, tiny_network
from grata_monai.execution import Execution
from grata_monai.execution.checkpointing import blocks_of, checkpointed
from grata_monai.inferers import AdaptiveInferer
from grata_monai.networks import ResUNet34
from grata_monai.state import (
    BatchStatistics,
    MovingAverageStatistics,
    apply_policy,
    bn_affine_parameters,
)

NETWORKS = {
    "ResUNet34": (lambda: ResUNet34(), (1, 3, 64, 64), 1.7),
    "UNet": (
        lambda: UNet(2, 3, 2, (4, 8, 8, 16), (2, 2, 2), num_res_units=2, norm="batch"),
        (1, 3, 64, 64),
        2.0,
    ),
    "UNet 3D": (lambda: UNet(3, 1, 2, (4, 8, 8), (2, 2), norm="batch"), (1, 1, 16, 16, 16), 1.3),
    "SegResNet": (lambda: SegResNet(2, 8, 3, 2, norm="batch"), (1, 3, 32, 32), 2.0),
    "BasicUNet": (
        lambda: BasicUNet(2, 3, 2, (4, 4, 8, 8, 16, 4), norm="batch"),
        (1, 3, 32, 32),
        2.0,
    ),
    "AttentionUnet": (lambda: AttentionUnet(2, 3, 2, (4, 8, 8), (2, 2)), (1, 3, 32, 32), 1.5),
}


def blocky_network():
    """Return the tiny network of the contract, its layers in two blocks."""
    layers = list(tiny_network())
    return TinyNetwork(nn.Sequential(*layers[:4]), nn.Sequential(*layers[4:8]), layers[8])


def made(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval()


def only_affine(network):
    affine = bn_affine_parameters(network)
    network.requires_grad_(False)
    for parameter in affine.values():
        parameter.requires_grad_()
    return list(affine.values())


def saved_bytes(network, images):
    """Return logits, and the bytes of the distinct tensors kept for the backward pass."""
    kept = {}
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network(images)
    return logits, sum(size for size, _ in kept.values())


def gradients_of(network, images, parameters):
    logits, size = saved_bytes(network, images)
    return logits, torch.autograd.grad(logits.sigmoid().square().mean(), parameters), size


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_same_bits_from_less_memory(name, precision):
    build, shape, factor = NETWORKS[name]
    network = made(build)
    parameters = only_affine(network)
    apply_policy(network, BatchStatistics())
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    found = {}
    for checkpoint in (False, True):
        with Execution(precision=precision, checkpoint=checkpoint).running(network):
            found[checkpoint] = gradients_of(network, images, parameters)
    (logits, gradients, most), (other_logits, other_gradients, least) = found[False], found[True]
    assert torch.equal(logits, other_logits)
    assert any(gradient.abs().max() > 0 for gradient in gradients)
    assert all(map(torch.equal, gradients, other_gradients))
    assert most > factor * least, (most, least)


def test_blocks_of_the_network_of_the_paper():
    network = ResUNet34()
    names = {id(module): name for name, module in network.named_modules()}
    found = [names[id(block)] for block in blocks_of(network)]
    stages = {1: 3, 2: 4, 3: 6, 4: 3}
    residual = [f"encoder.layer{n}.{k}" for n, count in stages.items() for k in range(count)]
    assert found == [*residual, "up1", "up2", "up3", "up4"]


def test_blocks_of_a_nested_unet_cover_its_normalization_but_no_block_is_most_of_it():
    network = UNet(2, 3, 2, (4, 8, 8, 16), (2, 2, 2), num_res_units=2, norm="batch")
    total = sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    counts = [sum(isinstance(m, nn.BatchNorm2d) for m in b.modules()) for b in blocks_of(network)]
    assert sum(counts) == total
    assert max(counts) <= 4 < total


FEWER_VIEWS = {"cotta": {"views": 2}, "memo": {"views": 2}}


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_method_gives_the_same_bits(name):
    streams = []
    for checkpoint in (False, True):
        network = blocky_network()
        with build_adapter(name, **FEWER_VIEWS.get(name, {})).bound(network) as adapter:
            with Execution(checkpoint=checkpoint).running(network):
                logits = [adapter.adapt(image) for image in tiny_images(3)]
            streams.append((logits, adapter.trace_, adapter.state_dict()["policy"]))
    (logits, trace, policy), (other_logits, other_trace, other_policy) = streams
    assert all(map(torch.equal, logits, other_logits))
    assert str(trace) == str(other_trace)
    assert str(policy) == str(other_policy)


@pytest.mark.parametrize("inside", [True, False])
def test_a_moving_average_moves_once(inside):
    """Also if the backward pass comes when the policy no longer updates."""
    found = []
    for checkpoint in (False, True):
        network = blocky_network().eval()
        parameters = only_affine(network)
        policy = MovingAverageStatistics(momentum=0.3)
        apply_policy(network, policy)
        with Execution(checkpoint=checkpoint).running(network):
            with policy.updating():
                loss = network(tiny_images()[0]).square().mean()
                if inside:
                    gradients = torch.autograd.grad(loss, parameters)
            if not inside:
                gradients = torch.autograd.grad(loss, parameters)
        found.append((gradients, policy.state_dict()))
    assert all(map(torch.equal, found[0][0], found[1][0]))
    assert found[0][1].keys() == {"0.1", "1.1"}
    assert str(found[0][1]) == str(found[1][1])


class Counting(nn.Sequential):
    """A block that counts its passes."""

    def __init__(self, *layers):
        super().__init__(*layers)
        self.passes = 0

    def forward(self, images):
        self.passes += 1
        return super().forward(images)


def counting_network():
    network = blocky_network().eval()
    return nn.Sequential(Counting(*network[0]), Counting(*network[1]), network[2]).eval()


def passes(network, *, backward=True):
    with checkpointed(network):
        loss = network(tiny_images()[0]).square().mean()
        if backward:
            loss.backward(retain_graph=True)
            loss.backward()
    return [block.passes for block in network[:2]]


def test_blocks_run_again_in_each_backward_pass_alone():
    assert passes(counting_network(), backward=False) == [1, 1]
    assert passes(counting_network()) == [3, 3]
    network = counting_network()
    with torch.no_grad():
        assert passes(network, backward=False) == [1, 1]


def test_what_might_not_repeat_itself_runs_once():
    training, hooked = counting_network(), counting_network()
    training[1][3].train()  # dropout
    hooked[0][1].register_forward_hook(lambda *_: None)
    assert passes(training) == [3, 1]
    assert passes(hooked) == [1, 3]


def test_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    passes(counting_network())
    assert torch.equal(torch.get_rng_state(), state)


def test_arguments_that_are_no_tensors():
    class Summing(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.activation = nn.BatchNorm2d(3), nn.ReLU()
            self.passes = 0

        def forward(self, parts, scale=1.0):
            self.passes += 1
            return self.activation(self.norm(sum(parts))) * scale

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = Summing(), Summing()

        def forward(self, images):
            return self.second(self.first([images, images])[None], scale=2.0)

    network = Outer().eval()
    with checkpointed(network):
        network(tiny_images()[0]).mean().backward()
    assert (network.first.passes, network.second.passes) == (1, 1)


def test_a_network_is_left_as_it_was():
    network = blocky_network()
    own = network[0].forward
    network[1].forward = stand_in = network[1].forward
    before, values = portrait(network), network.state_dict().keys()
    for fails in (False, True):
        try:
            with checkpointed(network), checkpointed(network):
                assert network[0].forward != own
                assert network.state_dict().keys() == values
                if fails:
                    raise KeyError("deliberate")
        except KeyError:
            assert fails
        assert portrait(network) == before
        assert network[0].forward == own
        assert vars(network[1])["forward"] is stand_in


def test_nested_use_runs_blocks_once_more_not_twice():
    network = counting_network()
    with checkpointed(network):
        with checkpointed(network):
            loss = network(tiny_images()[0]).square().mean()
        loss.backward()
    assert [block.passes for block in network[:2]] == [2, 2]


def test_an_adapter_may_come_and_go_within():
    network = blocky_network()
    found = [
        AdaptiveInferer(GraTa(), execution=Execution(checkpoint=checkpoint))(image, network)
        for checkpoint in (True, False)
        for image in tiny_images(2)
    ]
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[3])
    assert not any("forward" in vars(module) for module in network.modules())


def test_an_input_changed_in_place_is_an_error_not_a_wrong_gradient():
    class Careless(nn.Sequential):
        def forward(self, images):
            return super().forward(images.mul_(0.5))

    layers = list(blocky_network())
    network = nn.Sequential(layers[0], Careless(*layers[1]), layers[2]).eval()
    with checkpointed(network):
        loss = network(tiny_images()[0]).mean()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_a_network_without_blocks():
    with pytest.raises(ValueError, match="Nothing of TinyNetwork can be checkpointed"):
        with checkpointed(tiny_network()):
            pass
