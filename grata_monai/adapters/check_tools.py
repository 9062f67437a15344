# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the contract checks are made of: tiny networks and images, streams, expectations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from grata_monai.adapters.base import Adapter


def tiny_network(spatial_dims: int = 2, *, batch_norm: bool = True, seed: int = 0) -> nn.Sequential:
    """Return a small fully convolutional network, 3 channels in, 2 logits out, any image size."""
    conv = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
    norm = nn.BatchNorm2d if spatial_dims == 2 else nn.BatchNorm3d
    layers: list[nn.Module] = []
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        for inputs, outputs in ((3, 6), (6, 6)):
            layers += [conv(inputs, outputs, 3, padding=1)]
            layers += [norm(outputs)] if batch_norm else []
            layers += [nn.ReLU(), nn.Dropout(0.2)]
        network = nn.Sequential(*layers, conv(6, 2, 1))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(0.4 * torch.randn(tensor.shape, generator=generator))
            if name.endswith("running_var"):
                tensor.abs_().add_(0.5)
    return network


def tiny_images(count: int = 1, *, size: tuple[int, ...] = (12, 12), seed: int = 0) -> list[Tensor]:
    """Return images 1x3x*size in [0, 1], all different."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(1, 3, *size, generator=generator) for _ in range(count)]


def clone(adapter: Adapter, **settings: Any) -> Adapter:
    """Return an unbound adapter with the same settings but for those given."""
    return type(adapter)(**{**adapter.get_params(), **settings})


def stream(
    adapter: Adapter,
    images: list[Tensor],
    *,
    first: nn.Module | None = None,
    training: bool = False,
) -> list[Tensor]:
    """Return what a copy of the adapter gives for images on a fresh tiny network."""
    network = nn.Sequential(*([] if first is None else [first]), tiny_network())
    with clone(adapter).bound(network) as bound:
        network.train(training)
        return [bound.adapt(image) for image in images]


def portrait(network: nn.Module) -> dict[str, object]:
    """Return all that release() must bring back except values."""
    found: dict[str, object] = {}
    for name, module in network.named_modules():
        attributes = {key: id(value) for key, value in vars(module).items() if key != "training"}
        hooks = [len(v) for k, v in vars(module).items() if k.endswith("_hooks")]
        found[name] = (type(module), module.training, attributes, hooks)
    for name, parameter in network.named_parameters():
        gradient = None if parameter.grad is None else id(parameter.grad)
        found[f"parameter {name}"] = (parameter.requires_grad, gradient, id(parameter))
    return found


def expect(condition: bool, message: str) -> None:
    """Raise AssertionError with what was expected unless the condition holds."""
    if not condition:
        raise AssertionError(f"Contract broken; expected: {message}.")


def expect_equal(actual: list[Tensor], expected: list[Tensor], when: str) -> None:
    """Expect the same tensors bit for bit."""
    same = len(actual) == len(expected) and all(map(torch.equal, actual, expected))
    expect(same, f"the same bits {when}")


def expect_same_state(network: nn.Module, other: nn.Module, when: str) -> None:
    """Expect the same parameters and buffers bit for bit."""
    ours, theirs = network.state_dict(), other.state_dict()
    changed = [name for name, value in ours.items() if not torch.equal(value, theirs[name])]
    expect(not changed, f"source values {when}, but {changed} differ")


def expect_error(
    adapter: Adapter, network: nn.Module, kind: type[Exception], words: str, *, own: bool = False
) -> None:
    """Check that binding fails; on a copy of the adapter, or on the adapter itself if ``own``."""
    try:
        (adapter if own else clone(adapter)).bind(network)
    except kind as error:
        expect(words in str(error), f"an error that says {words!r}; it says: {error}")
    else:
        raise AssertionError(f"{type(network).__name__} was taken without {kind.__name__}")
