# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The colors of a domain against numpy and PIL, and the command that prints them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from grata_monai.cli.main import main
from grata_monai.preparation.colors import domain_colors


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    for index in range(3):
        pixels = generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    return tmp_path


def expected(folder):
    means, deviations = [], []
    for path in sorted(folder.glob("*.png")):
        pixels = np.asarray(Image.open(path), dtype=np.float64)
        pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min())
        means.append(pixels.mean(axis=(0, 1)))
        deviations.append(pixels.std(axis=(0, 1)))
    return np.mean(means, axis=0), np.mean(deviations, axis=0)


def test_numbers(folder):
    items = [{"image": str(path)} for path in sorted(folder.glob("*.png"))]
    colors = domain_colors(items, image_size=64)
    mean, deviation = expected(folder)
    assert colors.images == 3
    np.testing.assert_allclose(colors.source_mean, mean, atol=1e-6)
    np.testing.assert_allclose(colors.source_std, deviation, atol=1e-6)


def test_nothing_to_measure():
    with pytest.raises(ValueError, match="no images"):
        domain_colors([])


def test_the_command_leaves_broken_images_out(folder):
    mean, deviation = expected(folder)
    (folder / "broken.png").write_bytes(b"no image")
    out = folder / "colors.json"
    result = CliRunner().invoke(
        main, ["data", "colors", str(folder), "--size", "64", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert "broken.png" in result.output
    numbers = json.loads(out.read_text(encoding="utf-8"))
    np.testing.assert_allclose(numbers["source_mean"], mean, atol=1e-4)
    np.testing.assert_allclose(numbers["source_std"], deviation, atol=1e-4)
