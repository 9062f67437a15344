# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The blind-spot loss written out, and its zero."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.objectives import BlindSpot
from grata_monai.transforms.degrade import corrupt_blind_spots

IMAGES = torch.cat(tiny_images(2, size=(10, 10)))


class Oracle(nn.Module):
    """A network whose denoising head answers with a given image."""

    heads = ("denoising",)

    def __init__(self, answer):
        super().__init__()
        self.answer = answer
        self.seen = []

    def head(self, name, images):
        self.seen.append((name, images))
        return torch.logit(self.answer)


def test_loss_written_out():
    answer = torch.cat(tiny_images(2, size=(10, 10), seed=4)).double()
    network, images = Oracle(answer), IMAGES.double()
    found = BlindSpot(fraction=0.2)(network, images, torch.Generator().manual_seed(1))
    expected_images, drawn = corrupt_blind_spots(
        images, torch.Generator().manual_seed(1), fraction=0.2
    )
    ((name, seen),) = network.seen
    assert name == "denoising"
    assert torch.equal(seen, expected_images)
    total = 0.0
    for n, c, h, w in torch.cartesian_prod(*map(torch.arange, images.shape)).tolist():
        if drawn[n, 0, h, w]:
            total += abs(answer[n, c, h, w].item() - images[n, c, h, w].item())
    assert found.item() == pytest.approx(total / images.numel())


def test_no_loss_for_the_clean_image(generator):
    images = IMAGES.double().clamp(0.01, 0.99)
    assert BlindSpot()(Oracle(images), images, generator).item() == pytest.approx(0.0, abs=1e-12)


def test_pixels_that_were_not_drawn_do_not_count(generator):
    images = IMAGES.double().clamp(0.01, 0.99)
    assert BlindSpot(fraction=0.0)(Oracle(1 - images), images, generator).item() == 0.0


def test_errors():
    BlindSpot().check(tiny_network())
    with pytest.raises(ValueError, match="BlindSpot needs a network with a 'denoising' head"):
        BlindSpot().check(nn.Conv2d(3, 2, 1))
    with pytest.raises(ValueError, match="'fraction' parameter of BlindSpot"):
        BlindSpot(fraction=1.1)
    with pytest.raises(ValueError, match="'radius' parameter of BlindSpot"):
        BlindSpot(radius=0.5)
