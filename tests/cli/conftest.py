# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What several commands are tested with."""

from __future__ import annotations

import pytest
import torch

from grata_monai.networks import source_network
from grata_monai.training import save_source_weights


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Return the file of an untrained source model."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    save_source_weights(source_network(), path)
    return path
