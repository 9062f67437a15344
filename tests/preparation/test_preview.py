# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Sheets to look at: how many tiles, which images, and broken ones."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from grata_monai.data import write_synthetic_domain
from grata_monai.imaging.contact_sheet import CAPTION, GAP
from grata_monai.imaging.overlay import CUP_COLOR, DISC_COLOR
from grata_monai.preparation.preview import preview_folder

DOMAIN = "Synthetic_A"
TILE = 32
GREY = [128, 128, 128]


@pytest.fixture
def root(tmp_path):
    write_synthetic_domain(tmp_path / "Fundus", DOMAIN, images=7, size=48)
    return tmp_path / "Fundus"


def preview(root, **options):
    return preview_folder(root, root.parent / "out", tile=TILE, jobs=1, progress=False, **options)


def tiles(path, columns):
    """Return the tiles of a sheet, without those that are white."""
    sheet = np.asarray(Image.open(path))
    found = []
    for top in range(GAP, sheet.shape[0], TILE + GAP + CAPTION):
        for left in range(GAP, GAP + columns * (TILE + GAP), TILE + GAP):
            tile = sheet[top : top + TILE, left : left + TILE]
            if not (tile == 255).all():
                found.append(tile)
    return found


def test_one_sheet_per_domain(root):
    write_synthetic_domain(root, "Synthetic_B", images=2, size=48)
    paths = preview(root)
    assert [path.name for path in paths] == [f"{DOMAIN}.png", "Synthetic_B.png"]
    assert [len(tiles(path, 6)) for path in paths] == [7, 2]


def test_outlines_are_drawn(root):
    (path,) = preview(root)
    colors = tiles(path, 6)[0].reshape(-1, 3).tolist()
    assert list(DISC_COLOR) in colors
    assert list(CUP_COLOR) in colors


def test_images_are_spaced_evenly_from_first_to_last(root):
    """Three of seven rows are the first, the middle and the last."""
    paint = {}
    for number, row in enumerate(
        line.split(",")[0]
        for split in ("train", "test")
        for line in (root / f"{DOMAIN}_{split}.csv").read_text().splitlines()[1:]
    ):
        paint[number] = [30 * number, 0, 90]
        Image.new("RGB", (48, 48), tuple(paint[number])).save(root / row)
    (path,) = preview(root, images=3, columns=2)
    corners = [tile[0, 0].tolist() for tile in tiles(path, 2)]
    assert corners == [paint[0], paint[3], paint[6]]


def test_all_images_on_pages(root):
    paths = preview(root, images=3, every=True)
    assert [path.name for path in paths] == [f"{DOMAIN}_{page}.png" for page in (1, 2, 3)]
    assert [len(tiles(path, 3)) for path in paths] == [3, 3, 1]


@pytest.mark.parametrize("folder", ["image", "mask"])
def test_broken_files_become_grey_tiles(root, folder):
    broken = root / DOMAIN / "train" / folder / "synthetic_a_0000.png"
    broken.write_bytes(b"no image")
    (path,) = preview(root)
    shown = tiles(path, 6)
    assert len(shown) == 7
    assert shown[0][0, 0].tolist() == GREY
    assert shown[1][0, 0].tolist() != GREY
    broken.unlink()
    assert tiles(*preview(root), 6)[0][0, 0].tolist() == GREY


def test_images_without_masks_and_of_other_proportions(tmp_path):
    Image.new("RGB", (100, 50), (200, 10, 10)).save(tmp_path / "a.png")
    (tmp_path / "D.csv").write_text("image,mask\na.png,\n")
    (path,) = preview_folder(tmp_path, tmp_path / "o", tile=TILE, jobs=1, progress=False)
    (tile,) = tiles(path, 1)
    assert tile[TILE // 2, TILE // 2].tolist() == [200, 10, 10]
    assert tile[2, TILE // 2].tolist() == [255, 255, 255]


def test_numbers_are_checked(root):
    with pytest.raises(ValueError, match="'columns' parameter of preview_folder"):
        preview(root, columns=0)
