# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Source models for tests that need one to be plausible, not to be good."""

from __future__ import annotations

import torch

from grata_monai.networks import ResUNet34
from grata_monai.training import save_source_weights


def write_plausible_source(path, *, size=64, seed=0):
    """Write a source model with random weights, plausible statistics, a cup within its disc."""
    torch.manual_seed(seed)
    network = ResUNet34().train()
    with torch.no_grad():
        for _ in range(10):
            network(torch.rand(2, 3, size, size))
        *_, weight, bias = network.parameters()
        weight[1], bias[1] = weight[0], bias[0] - 0.1
    save_source_weights(network, path)
    return path
