# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Both ways on four real photographs; skipped where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from grata_monai.imaging import read_photograph
from grata_monai.localization import NetworkLocator, locate_disc
from grata_monai.networks import source_network

pytestmark = pytest.mark.real
FOUR = ["Test/001", "Test/005", "Training/002", "Training/004"]


@pytest.fixture(params=FOUR)
def case(real_data, request):
    """A photograph, and where all four experts see the disc."""
    part, number = request.param.split("/")
    folder, name = real_data / "raw" / "Drishti-GS1_files" / part, f"drishtiGS_{number}"
    image = folder / "Images" / f"{name}.png"
    if not image.is_file():
        pytest.skip(f"no photograph {image}")
    truth = folder / ("Test_GT" if part == "Test" else "GT") / name / "SoftMap"
    with Image.open(truth / f"{name}_ODsegSoftmap.png") as soft_map:
        disc = np.asarray(soft_map) == 255
    return np.asarray(read_photograph(image)), disc


@pytest.fixture(scope="module")
def network(real_data):
    return NetworkLocator(
        network=source_network(real_data / "models" / "last-Res_Unet.pth"),
        image_size=256,
        roi_size=512,
    )


def check(found, disc):
    rows, columns = np.nonzero(disc)
    radius = np.sqrt(rows.size / np.pi)
    error = np.hypot(found.row - rows.mean(), found.column - columns.mean())
    assert disc[round(found.row), round(found.column)]
    assert error < 0.35 * radius
    assert found.confidence > 0.5


def test_classical(case):
    photograph, disc = case
    check(locate_disc(photograph), disc)


@pytest.mark.parametrize("axis", [0, 1], ids=["upside down", "mirrored"])
def test_classical_flipped(case, axis):
    photograph, disc = (np.ascontiguousarray(np.flip(array, axis)) for array in case)
    check(locate_disc(photograph), disc)


def test_network(case, network):
    photograph, disc = case
    found = network(photograph)
    assert found.method == "network"
    check(found, disc)
