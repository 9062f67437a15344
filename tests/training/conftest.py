# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A small network with heads, and a small trainer."""

from __future__ import annotations

import pytest
import torch
from monai.data import DataLoader, Dataset, DistributedSampler
from monai.engines import SupervisedTrainer
from torch import nn

from grata_monai.training import SegmentationLoss


class SmallNetwork(nn.Module):
    """Two convolutions with batch normalization; a reconstruction and a denoising head."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.decoder = nn.Conv2d(4, 2, 1)
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3))
                for name in ("reconstruction", "denoising")
            }
        )

    def forward(self, images):
        return self.decoder(self.encoder(images))

    def head(self, name, images):
        return self.heads[name](self.encoder(images))


@pytest.fixture
def make_network():
    def make():
        torch.manual_seed(0)
        return SmallNetwork()

    return make


@pytest.fixture
def make_trainer(make_network):
    """Trainer on six random images, its parts as attributes."""

    def make(*, epochs=2, network=None, transform=None, handlers=(), workers=0, **options):
        network = make_network() if network is None else network
        random = torch.Generator().manual_seed(1)
        items = [
            {
                "image": torch.rand(3, 8, 8, generator=random),
                "label": (torch.rand(2, 8, 8, generator=random) > 0.5).float(),
            }
            for _ in range(6)
        ]
        dataset = Dataset(items, transform)
        loader = DataLoader(
            dataset,
            batch_size=2,
            sampler=DistributedSampler(dataset, num_replicas=1, rank=0, shuffle=True),
            num_workers=workers,
            generator=torch.Generator().manual_seed(7),
        )
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=epochs,
            train_data_loader=loader,
            network=network,
            optimizer=optimizer,
            loss_function=SegmentationLoss(),
            **options,
        )
        trainer.scheduler = torch.optim.lr_scheduler.PolynomialLR(
            optimizer, total_iters=epochs, power=0.9
        )
        for handler in handlers:
            handler.attach(trainer)
        return trainer

    return make
