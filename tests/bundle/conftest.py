# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A small domain, photographs without masks, a source model, and a runner of the configs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from grata_monai.data import synthetic_domain, write_synthetic_domain
from tests.source_models import write_plausible_source

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLE = REPOSITORY / "bundles" / "grata"
CONFIGS = BUNDLE / "configs"
DOMAIN = "Synthetic_A"
TRAINING_DOMAIN = "Synthetic_B"
SIZE = 64


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """The authors' layout with a domain of 2 images and one of 5, of the network's size."""
    folder = tmp_path_factory.mktemp("fundus")
    for name, images in ((DOMAIN, 2), (TRAINING_DOMAIN, 5)):
        write_synthetic_domain(folder, synthetic_domain(name), images=images, size=SIZE, seed=0)
    return folder


@pytest.fixture
def photographs(root, tmp_path):
    """A folder of two photographs without masks."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for path in sorted((root / DOMAIN).rglob("image/*.png")):
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A source model with random weights, plausible statistics, and a cup within its disc."""
    return write_plausible_source(tmp_path_factory.mktemp("weights") / "model.pt", size=SIZE)


@pytest.fixture
def infer(root, weights, tmp_path):
    """Run inference.json, with overlays by name; returns the finished workflow."""

    def infer(*, only_initialize=False, overlays=(), **overrides):
        settings = {
            "dataset_dir": str(root),
            "domain": DOMAIN,
            "weights": str(weights),
            "output_dir": str(tmp_path / "output"),
            "image_size": SIZE,
            "device": "cpu",
        } | overrides
        workflow = ConfigWorkflow(
            [str(CONFIGS / f"{name}.json") for name in ("inference", *overlays)],
            workflow_type="inference",
            logging_file=False,
            **settings,
        )
        workflow.initialize()
        if not only_initialize:
            workflow.run()
            workflow.finalize()
        return workflow

    return infer
