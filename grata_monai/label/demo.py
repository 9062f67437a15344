# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""An annotation server to try out: synthetic photographs, and a small model of another camera."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from grata_monai._checks import check_number
from grata_monai._files import atomic_path
from grata_monai.bundle.demo import Demo
from grata_monai.data import paint_photograph
from grata_monai.label.app_folder import init_app
from grata_monai.label.settings import LabelSettings

SOURCE, TARGET = "Synthetic_A", "Synthetic_C"
_HEIGHT, _WIDTH, _EXTENT = 832, 1040, 2.6
_SUFFIXES = (".png", ".JPG", ".tif", ".bmp")


def write_demo(
    folder: str | os.PathLike[str],
    *,
    epochs: int = 16,
    size: int = 128,
    images: int = 8,
    seed: int = 0,
) -> Path:
    """Make an app with ``studies`` in it: photographs of one camera, a model of another.

    Args:
        folder: The app's folder.
        epochs: Length of the training.
        size: Side of the network's input, a multiple of 32.
        images: Photographs to annotate.
        seed: Seed of everything.

    Returns:
        The folder of studies.

    Raises:
        ValueError: If there is an app already, or a number is out of range.
    """
    path = Path(folder)
    check_number("the demo", "images", images, minimum=1, integer=True)
    if (path / "main.py").exists():
        raise ValueError(f"{path} is an app already; start it, or choose another folder.")
    studies = write_photographs(path / "studies", images=images, seed=seed)
    source = Demo(
        path / "source", source=SOURCE, targets=(), image_size=size, epochs=epochs, seed=seed
    )
    source.write_data()
    source.train()
    settings = LabelSettings(image_size=size, roi_size=round(_WIDTH / _EXTENT))
    init_app(path, source.weights, settings)
    return studies


def write_photographs(folder: Path, *, images: int, seed: int) -> Path:
    """Paint whole photographs of the target camera in several formats."""
    for index in tqdm(range(images), desc="photographs", unit="image"):
        pixels, _ = paint_photograph(
            TARGET, seed=[seed, index], height=_HEIGHT, width=_WIDTH, extent=_EXTENT
        )
        path = folder / f"eye_{index + 1:03d}{_SUFFIXES[index % len(_SUFFIXES)]}"
        with atomic_path(path) as temporary:
            Image.fromarray(pixels).save(temporary)
    return folder
