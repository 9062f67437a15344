# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What a user gets wrong ends in one line and an exit code."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from grata_monai.networks import ResUNet34
from tests.bundle.conftest import DOMAIN


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"dataset_dir": None}, r"^Error: There is no data: give --dataset_dir"),
        ({"dataset_dir": "/nowhere/at/all"}, r"^Error: /nowhere/at/all does not exist"),
        ({"domain": "REFUSE"}, r"^Error: .* has no domain 'REFUSE'"),
        ({"weights": "/nowhere/model.pt"}, r"^Error: There are no weights /nowhere/model.pt"),
        ({"method": "grate"}, r"^Error: .*did you mean 'grata'"),
        ({"beta": -1}, r"^Error: The 'beta' parameter of GraTa must be"),
        ({"beta": "high"}, r"^Error: The 'beta' parameter of GraTa must be"),
        ({"method": "source", "beta": 0.1}, r"^Error: .*Source.*'beta'"),
        ({"life_cycle": "sometimes"}, r"^Error: The 'life_cycle' parameter of GraTa"),
        ({"seed": -1}, r"^Error: The 'seed' parameter of GraTa"),
        ({"method_options": "linear"}, r"^Error: The 'method_options' must be a dictionary"),
        ({"method_options": {"auxiliary": "rotation"}}, r"^Error: Rotation needs a network with a"),
        ({"image_size": 100}, r"^Error: The 'image_size' must be a multiple of 32"),
        ({"image_size": 32}, r"^Error: The 'image_size' parameter of the bundle must be"),
        ({"device": "cuda:77"}, r"^Error: The device 'cuda:77' cannot be used"),
        ({"heads": ["rotate"]}, r"^Error: The 'heads' .*did you mean 'rotation'"),
        ({"heads": ["rotation", "rotation"]}, r"^Error: The 'heads' must name each head once"),
        ({"num_workers": -1}, r"^Error: The 'num_workers' parameter of the bundle"),
        ({"save": "false"}, r"^Error: The 'save' parameter of the bundle must be True or False"),
        ({"guard": "no"}, r"^Error: The 'guard' parameter of the bundle must be True or False"),
        ({"heads": "rotation"}, r"^Error: The 'heads' must be a list"),
        ({"heads": ["rotation"]}, r"^Error: .*no weights for the heads rotation"),
    ],
)
def test_wrong_settings(infer, overrides, message):
    with pytest.raises(SystemExit, match=message) as caught:
        infer(**overrides)
    assert "\n" not in caught.value.code


def test_an_empty_folder_and_one_without_readable_images(infer, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(SystemExit, match="holds no images"):
        infer(dataset_dir=str(folder), domain=None)
    (folder / "a.png").write_bytes(b"")
    with pytest.raises(SystemExit, match="None of the 1 images"):
        infer(dataset_dir=str(folder), domain=None)


def test_weights_that_are_none_or_only_an_encoder(infer, tmp_path):
    (tmp_path / "text.pt").write_text("not weights")
    with pytest.raises(SystemExit, match="is not a checkpoint, or is damaged"):
        infer(weights=str(tmp_path / "text.pt"))
    encoder = {k: v for k, v in ResUNet34().state_dict().items() if k.startswith("encoder.")}
    torch.save(encoder, tmp_path / "encoder.pt")
    with pytest.raises(SystemExit, match="is no source model: it lacks"):
        infer(weights=str(tmp_path / "encoder.pt"))


def test_two_photographs_with_one_name(infer, photographs):
    photograph = next(photographs.iterdir())
    photograph.with_suffix(".bmp").write_bytes(photograph.read_bytes())
    with pytest.raises(SystemExit, match="2 images are called"):
        infer(dataset_dir=str(photographs), domain=None)


def test_an_output_folder_that_cannot_be_made(infer, photographs, tmp_path):
    (tmp_path / "file").write_text("")
    (photographs / "broken.png").write_bytes(b"")
    with pytest.raises(SystemExit, match="Error: "):
        infer(dataset_dir=str(photographs), domain=None, output_dir=str(tmp_path / "file" / "x"))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_mask_coded_otherwise_ends_the_run_in_one_line(infer, root, tmp_path, num_workers):
    folder = shutil.copytree(root, tmp_path / "copy")
    for mask in (folder / DOMAIN).rglob("mask/*.png"):
        Image.fromarray(np.asarray(Image.open(mask)) // 128).save(mask)
    with pytest.raises(SystemExit, match=r"^Error: .*\.png") as caught:
        infer(dataset_dir=str(folder), num_workers=num_workers)
    assert "\n" not in caught.value.code
    assert "Traceback" not in caught.value.code


def test_paths_that_monai_changed_or_took_for_numbers(infer):
    with pytest.raises(SystemExit, match=r"^Error: The 'dataset_dir' must not contain '#'"):
        infer(dataset_dir="/nowhere/a#1")
    with pytest.raises(SystemExit, match=r"^Error: The 'output_dir' must not contain '#'"):
        infer(output_dir="/nowhere/a#1")
    with pytest.raises(SystemExit, match=r"^Error: The 'dataset_dir' must be a path"):
        infer(dataset_dir=2024)
