# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The images and the source network of a measurement."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import torch
from torch import Tensor, nn

from grata_monai.adapters import build_adapter
from grata_monai.benchmark.sources import needed_heads
from grata_monai.data import FundusItem, fundus_datalist, usable_items, write_synthetic_domain
from grata_monai.networks import source_network
from grata_monai.transforms import fundus_preprocessing

_DOMAIN = "Synthetic_B"
_SIDE = 64
_LOGIT_MEAN, _LOGIT_DEVIATION = -4.0, 2.0


class Images:
    """Images for the network, read from files; again from the first after the last.

    Args:
        items: The files.
        size: Side of the network's input in pixels.
        roi_size: Side of the region around the disc in pixels of the photograph.
        device: Where the network is.
    """

    def __init__(
        self, items: Sequence[FundusItem], *, size: int, roi_size: int, device: torch.device
    ) -> None:
        self.items = items
        self._preprocessing = fundus_preprocessing(size=size, roi_size=roi_size, keys=("image",))
        self._device = device
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        """Return how many different images there are."""
        return len(self.items)

    def batch(self, start: int, count: int = 1) -> Tensor:
        """Return images as a batch, on the device; read once."""
        return torch.cat([self._one(number) for number in range(start, start + count)])

    def read(self, start: int, count: int = 1) -> Tensor:
        """Return images as a batch, on the device; read from their files each time."""
        return torch.cat([self._read(number) for number in range(start, start + count)])

    def _read(self, number: int) -> Tensor:
        image = self._preprocessing(dict(self.items[number % len(self)]))["image"]
        plain: Tensor = image.as_tensor() if hasattr(image, "as_tensor") else image
        return plain.detach().clone()[None].to(self._device)

    def _one(self, number: int) -> Tensor:
        index = number % len(self)
        if index not in self._kept:
            self._kept[index] = self._read(index)
        return self._kept[index]


@contextmanager
def items_of(
    source: str | os.PathLike[str] | None,
    *,
    count: int,
    size: int,
    seed: int,
    domain: str | None = None,
) -> Iterator[list[FundusItem]]:
    """Hold files of images: the first of a data set, or synthetic ones in a temporary folder.

    Args:
        source: As of ``fundus_datalist``; None for synthetic photographs.
        count: At most so many.
        size: Side of the synthetic ones in pixels.
        seed: Seed of the synthetic ones.
        domain: Of a data set with several.

    Raises:
        FileNotFoundError: If there is no such data.
        ValueError: If no image in it can be used.
    """
    if source is not None:
        listed = fundus_datalist(Path(source).expanduser(), domain=domain, check=False)
        usable, _ = usable_items(_without_masks(listed[:count]))
        yield usable
        return
    with TemporaryDirectory(prefix="grata_speed_") as folder:
        write_synthetic_domain(folder, _DOMAIN, images=count, size=size, seed=seed)
        yield _without_masks(fundus_datalist(folder, domain=_DOMAIN))


def make_source(method: str, weights: str | os.PathLike[str] | None, *, seed: int) -> nn.Module:
    """Return a source network on the CPU, with the heads that a method needs.

    Args:
        method: The method's id.
        weights: Checkpoint of this package or of the authors; None for random weights and
            statistics that fit them, which take the same time.
        seed: Seed of the random ones; the global generator stays as it is.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no source model, or lacks a head that the method needs.
    """
    heads = needed_heads(build_adapter(method))
    if weights is not None:
        return source_network(Path(weights), heads=heads).eval()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = source_network(heads=heads)
        _make_plausible(network, torch.rand(4, 3, _SIDE, _SIDE))
    return network.eval()


@torch.no_grad()
def _make_plausible(network: nn.Module, images: Tensor) -> None:
    """Give a random network statistics that fit its weights, and a background as in real images.

    Without the first predictions overflow. Without the second no pixel is sure, and methods that
    learn from sure pixels only would have nothing to do.
    """
    layers = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    usual = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 1.0
    logits = network.train()(images)
    for layer, momentum in zip(layers, usual, strict=True):
        layer.momentum = momentum
    last = cast("nn.Conv2d", getattr(network, "network", network).output)
    deviation, mean = torch.std_mean(logits, dim=(0, 2, 3))
    scale = _LOGIT_DEVIATION / deviation
    last.weight.mul_(scale[:, None, None, None])
    if last.bias is not None:
        last.bias.sub_(mean).mul_(scale).add_(_LOGIT_MEAN)


def _without_masks(items: Sequence[FundusItem]) -> list[FundusItem]:
    """Return the items as if nobody had drawn masks: they take no part in what is timed."""
    return [cast("FundusItem", {k: v for k, v in item.items() if k != "label"}) for item in items]
