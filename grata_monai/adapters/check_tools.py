# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the contract checks are made of: tiny networks and images, streams, expectations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from grata_monai.adapters.base import Adapter


class TinyNetwork(nn.Sequential):
    """A chain of layers that also offers what some methods need: bottleneck and image heads.

    The bottleneck is what enters the last layer; every head is the first three channels of it.
    """

    def bottleneck(self, images: Tensor) -> Tensor:
        """Return what enters the last layer."""
        features = images
        for layer in list(self)[:-1]:
            features = layer(features)
        return features

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads."""
        return ("denoising", "reconstruction")

    def head(self, name: str, images: Tensor) -> Tensor:
        """Return the raw image of a head."""
        return self.bottleneck(images)[:, :3]


def tiny_network(
    spatial_dims: int = 2,
    *,
    batch_norm: bool = True,
    seed: int = 0,
    first: nn.Module | None = None,
) -> TinyNetwork:
    """Return a small fully convolutional network, 3 channels in, 2 logits out, any image size.

    Args:
        spatial_dims: 2 or 3.
        batch_norm: Whether it has batch normalization.
        seed: Seed of weights and running statistics.
        first: Layer to put before the others, taken as it is.
    """
    conv = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
    norm = nn.BatchNorm2d if spatial_dims == 2 else nn.BatchNorm3d
    layers: list[nn.Module] = []
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        for inputs, outputs in ((3, 6), (6, 6)):
            layers += [conv(inputs, outputs, 3, padding=1)]
            layers += [norm(outputs)] if batch_norm else []
            layers += [nn.ReLU(), nn.Dropout(0.2)]
        network = TinyNetwork(*layers, conv(6, 2, 1))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(0.4 * torch.randn(tensor.shape, generator=generator))
            if name.endswith("running_var"):
                tensor.abs_().add_(0.5)
    return network if first is None else TinyNetwork(first, *network)


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
    network = tiny_network(first=first)
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


def expect_same_tensors(actual: object, expected: object, when: str) -> None:
    """Expect nested containers to hold the same values, tensors bit for bit."""
    expect(type(actual) is type(expected), f"the same types {when}")
    if isinstance(actual, Tensor):
        expect(torch.equal(actual, cast("Tensor", expected)), f"the same bits {when}")
    elif isinstance(actual, Mapping):
        theirs = cast("Mapping[object, object]", expected)
        expect(actual.keys() == theirs.keys(), f"the same keys {when}")
        for key, value in actual.items():
            expect_same_tensors(value, theirs[key], f"of {key!r} {when}")
    elif isinstance(actual, list | tuple):
        others = cast("list[object]", expected)
        expect(len(actual) == len(others), f"the same length {when}")
        for value, other in zip(actual, others, strict=True):
            expect_same_tensors(value, other, when)
    else:
        expect(actual == expected, f"the same value {when}")


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
