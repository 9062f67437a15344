# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Malicious images for a stream: crude ones, and ones made from a photograph to do harm."""

from __future__ import annotations

from collections.abc import Sequence

import _pictures
import numpy as np
import torch
from torch import Tensor, nn

from grata_monai.state import BatchStatistics, apply_policy, evaluating

CRUDE = ("noise", "inverted", "black or white", "X-ray", "B-scan", "ultrasound")


def to_images(picture: np.ndarray) -> Tensor:
    """Return a picture as preprocessing gives it to the network: 1x3xSxS, from 0 to 1."""
    values = torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)[None]
    return (values - values.min()) / (values.max() - values.min())


def crude_images(photographs: Sequence[Tensor]) -> list[Tensor]:
    """Return as many images that nobody would take for a photograph: CRUDE, in turn."""
    found = []
    for number, photograph in enumerate(photographs):
        picture = photograph[0].permute(1, 2, 0).numpy()
        named = dict([*_pictures.foreign(len(picture)), *_pictures.spoiled(picture)])
        found.append(to_images(named[CRUDE[number % len(CRUDE)]]))
    return found


def own_dice_loss(network: nn.Module, images: Tensor, label: Tensor) -> Tensor:
    """Return the soft Dice loss of an image under its own statistics, whatever the network's mode.

    Args:
        network: The source model; its parameters and running statistics stay as they are.
        images: 1x3xSxS.
        label: 1x2xSxS of zeros and ones.
    """
    with evaluating(network):
        handle = apply_policy(network, BatchStatistics())
        try:
            probabilities = torch.sigmoid(network(images))
        finally:
            handle.remove()
    shared = (probabilities * label).sum(dim=(2, 3))
    return (1 - 2 * shared / (probabilities + label).sum(dim=(2, 3)).clamp_min(1e-6)).mean()


def craft(
    network: nn.Module, photograph: Tensor, label: Tensor, *, epsilon: float, steps: int
) -> Tensor:
    r"""Change a photograph so that the source model is as wrong about it as can be.

    Projected gradient ascent on the Dice loss of the photograph's own mask, under the image's own
    statistics as most methods predict, within ``epsilon`` in every value. White box: the attacker
    has the source model, the photograph and its mask, but knows neither the method nor what it has
    learned. A method that makes predictions surer then learns a wrong one.

    Chosen in a small trial (two photographs, two other images, TENT with a hundred times its
    learning rate), where it did more harm than making entropy or mean probability large. Another,
    the first-order effect of an entropy step on the Dice loss of held-out images, did no harm to a
    stream of twelve. A stronger attack may well exist.

    Args:
        network: The source model.
        photograph: 1x3xSxS in [0, 1].
        label: 1x2xSxS of zeros and ones.
        epsilon: Largest change of a value.
        steps: How many steps of ascent, each of 3 / ``steps`` of ``epsilon``.

    Returns:
        The worst image found on the way.
    """
    low, high = (photograph - epsilon).clamp(0, 1), (photograph + epsilon).clamp(0, 1)
    images, worst, most = photograph, photograph, -torch.inf
    for step in range(steps + 1):
        images = images.detach().requires_grad_()
        loss = own_dice_loss(network, images, label)
        if loss.item() > most:
            worst, most = images.detach(), loss.item()
        if step < steps:
            (slope,) = torch.autograd.grad(loss, images)
            images = images + 3 * epsilon / steps * slope.sign()
            images = torch.minimum(torch.maximum(images, low), high)
    return worst
