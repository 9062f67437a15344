# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Label maps, NIfTI files and outlines on disk."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.transforms import Activationsd, AsDiscreted, Compose, Invertd
from PIL import Image

from grata_monai.imaging.overlay import CUP_COLOR, DISC_COLOR, TRUTH_COLOR, draw_overlay
from grata_monai.transforms.fundus import fundus_preprocessing
from grata_monai.transforms.outputs import SaveSegmentationd


def prediction(folder, name="eye.png", shift=0):
    """Item as postprocessing sees it: image in network geometry, prediction in the file's."""
    grey = np.roll(np.asarray(Image.open(folder / "eye_mask.png")), shift, 1)
    image = MetaTensor(torch.zeros(3, 8, 8), meta={"filename_or_obj": str(folder / name)})
    return {
        "image": image,
        "pred": MetaTensor(np.stack([grey < 255, grey == 0]).astype(np.float32)),
    }


def expected_labels(folder):
    grey = np.asarray(Image.open(folder / "eye_mask.png"))
    return np.select([grey == 0, grey < 255], [2, 1], 0)


def files_in(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_png_nifti_and_overlay(fundus_files, tmp_path):
    out = tmp_path / "out"
    item = prediction(fundus_files)
    before = dict(item)
    saved = SaveSegmentationd("pred", output_dir=out)(item)
    assert saved == before == item
    assert files_in(out) == ["eye_overlay.png", "eye_seg.nii.gz", "eye_seg.png"]
    png = Image.open(out / "eye_seg.png")
    assert png.mode == "L"
    assert np.array_equal(np.asarray(png), expected_labels(fundus_files))


def test_nifti_lines_up_with_the_png_in_lps(fundus_files, tmp_path):
    SaveSegmentationd("pred", output_dir=tmp_path, formats=("nifti",), overlay=False)(
        prediction(fundus_files)
    )
    volume = nibabel.load(tmp_path / "eye_seg.nii.gz")
    data = np.asarray(volume.dataobj)
    assert data.shape == (90, 60, 1)
    assert data.dtype == np.uint8
    assert np.array_equal(data[:, :, 0].T, expected_labels(fundus_files))
    index = np.array([7, 4, 0, 1])  # column 7, row 4
    ras = volume.affine @ index
    assert (ras[:3] * [-1, -1, 1]).tolist() == [7, 4, 0]  # ITK's x, y, z of that PNG pixel
    for code in (volume.header["qform_code"], volume.header["sform_code"]):
        assert int(code) == 1
    assert np.array_equal(volume.get_qform(), volume.get_sform())


def test_authors_encoding_can_serve_as_a_mask(fundus_files, tmp_path):
    save = SaveSegmentationd(
        "pred", output_dir=tmp_path, encoding="authors", formats=("png", "nifti"), suffix="mask2"
    )
    save(prediction(fundus_files))
    assert np.array_equal(
        np.asarray(Image.open(tmp_path / "eye_mask2.png")),
        np.asarray(Image.open(fundus_files / "eye_mask.png")),
    )
    volume = np.asarray(nibabel.load(tmp_path / "eye_mask2.nii.gz").dataobj)
    assert np.array_equal(volume[..., 0].T, expected_labels(fundus_files))


def test_overlay_changes_only_outlines(fundus_files, tmp_path):
    SaveSegmentationd("pred", output_dir=tmp_path, formats=())(prediction(fundus_files))
    assert "eye_seg.png" not in files_in(tmp_path)
    overlay = np.asarray(Image.open(tmp_path / "eye_overlay.png"))
    photograph = np.asarray(Image.open(fundus_files / "eye.png"))
    changed = (overlay != photograph).any(-1)
    distance = np.hypot(*(np.mgrid[:60, :90] - np.array([25, 40])[:, None, None]))
    near_disc, near_cup = abs(distance - 11) <= 2, abs(distance - 4) <= 2
    assert not changed[~near_disc & ~near_cup].any()
    assert tuple(overlay[25, 40 - 12]) == tuple(overlay[25 - 12, 40]) == DISC_COLOR
    assert tuple(overlay[25, 40 + 5]) == CUP_COLOR
    assert not (overlay == TRUTH_COLOR).all(-1).any()


def test_overlay_shows_the_mask_the_item_was_loaded_with(fundus_files, tmp_path):
    item = prediction(fundus_files, shift=6)
    meta = {"filename_or_obj": str(fundus_files / "eye_mask.png")}
    item["label"] = MetaTensor(torch.zeros(2, 8, 8), meta=meta)
    SaveSegmentationd("pred", output_dir=tmp_path)(item)
    overlay = np.asarray(Image.open(tmp_path / "eye_overlay.png"))
    assert tuple(overlay[25, 40 - 12]) == TRUTH_COLOR
    assert tuple(overlay[25, 46 + 12]) == DISC_COLOR


def test_lines_grow_with_the_photograph():
    widths = {}
    for side in (60, 1200):
        labels = np.zeros((side, side), np.uint8)
        labels[10 : side - 10, 10 : side - 10] = 1
        drawn = draw_overlay(np.zeros((side, side, 3), np.uint8), labels)
        widths[side] = int(drawn[side // 2, : side // 2].any(-1).sum())
    assert widths == {60: 2, 1200: 4}


def test_overlay_of_an_empty_prediction_is_the_photograph():
    photograph = np.full((20, 30, 3), 99, np.uint8)
    drawn = draw_overlay(photograph, np.zeros((20, 30), np.uint8))
    assert np.array_equal(drawn, photograph)
    with pytest.raises(ValueError, match=r"label map has the shape \(20, 29\), .* \(20, 30\)"):
        draw_overlay(photograph, np.zeros((20, 29), np.uint8))


def test_links_have_their_own_place_wherever_they_lead(fundus_files, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "left.png").symlink_to(fundus_files / "eye.png")
    save = SaveSegmentationd(
        output_dir=tmp_path / "out", root_dir=tmp_path, formats=("png",), overlay=False
    )
    for name in ("a", "b"):
        item = prediction(fundus_files)
        item["image"].meta["filename_or_obj"] = str(tmp_path / name / "left.png")
        save(item)
    assert files_in(tmp_path / "out") == ["a/left_seg.png", "b/left_seg.png"]


def test_equal_stems_are_kept_apart_or_refused(fundus_files, tmp_path):
    for name in ("a/eye.png", "b/eye.png", "b/eye.jpg"):
        (fundus_files / name).parent.mkdir(exist_ok=True)
        Image.open(fundus_files / "eye.png").save(fundus_files / name)
    items = {name: prediction(fundus_files, name) for name in ("a/eye.png", "b/eye.png")}
    apart = SaveSegmentationd(
        output_dir=tmp_path / "apart", root_dir=fundus_files, formats=("png",), overlay=False
    )
    for item in items.values():
        apart(item)
    assert files_in(tmp_path / "apart") == ["a/eye_seg.png", "b/eye_seg.png"]
    flat = SaveSegmentationd(output_dir=tmp_path / "flat")
    flat(items["a/eye.png"])
    flat(items["a/eye.png"])  # the same photograph again is no conflict
    with pytest.raises(ValueError, match=r"a/eye\.png and .*b/eye\.png would both be written to"):
        flat(items["b/eye.png"])
    apart(items["b/eye.png"])
    with pytest.raises(ValueError, match=r"b/eye\.png and .*b/eye\.jpg would both be written to"):
        apart(prediction(fundus_files, "b/eye.jpg"))


def test_paths_tells_where_results_go(tmp_path):
    save = SaveSegmentationd(output_dir="out", root_dir=tmp_path, formats=("nifti",))
    found = {name: str(path) for name, path in save.paths(tmp_path / "a" / "x.v2.png").items()}
    assert found == {"nifti": "out/a/x.v2_seg.nii.gz", "overlay": "out/a/x.v2_overlay.png"}
    with pytest.raises(ValueError, match="is not inside the 'root_dir' of SaveSegmentationd"):
        save.paths(tmp_path.parent / "x.png")


def test_predictions_that_cannot_be_saved(fundus_files, tmp_path):
    save = SaveSegmentationd(output_dir=tmp_path / "out")
    item = prediction(fundus_files)
    with pytest.raises(ValueError, match=r"size \(8, 8\), .* \(60, 90\).*apply Invertd before"):
        save({**item, "pred": torch.zeros(2, 8, 8)})
    with pytest.raises(ValueError, match="threshold probabilities first"):
        save({**item, "pred": item["pred"] * 0.4})
    with pytest.raises(ValueError, match="needs the photograph's name in the metadata of 'image'"):
        save({"pred": item["pred"], "image": torch.zeros(3, 8, 8)})
    with pytest.raises(KeyError, match="Key `pred`"):
        save({"image": item["image"]})
    assert files_in(tmp_path) == ["eye.png", "eye_mask.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"formats": ("jpg",)}, "'formats' .* must be one of nifti, png. Got 'jpg'"),
        ({"encoding": "label"}, "'encoding' .* Got 'label'; did you mean 'labels'"),
        ({"suffix": "overlay"}, "'suffix' parameter .* other than 'overlay'"),
        ({"keys": ("pred", "image")}, "'keys' parameter .* must be one key"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SaveSegmentationd(**{"output_dir": ".", **arguments})


class Brightness(torch.nn.Module):
    """Finds the drawn disc and cup by their brightness."""

    def forward(self, images):
        red = images[:, :1]
        return torch.cat([red - 0.35, red - 0.7], 1) * 100


def test_in_the_postprocessing_of_an_evaluator(fundus_files, tmp_path):
    out = tmp_path / "out"
    pipeline = fundus_preprocessing(size=40, roi_size=40)
    item = {
        "image": str(fundus_files / "eye.png"),
        "label": str(fundus_files / "eye_mask.png"),
        "disc_center": (25, 40),
    }
    grey = np.asarray(Image.open(item["label"]))
    flat = np.select([grey == 0, grey < 255], [250, 130], 10).astype(np.uint8)
    Image.fromarray(np.stack([flat] * 3, -1)).save(item["image"])
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset([item], pipeline), batch_size=1),
        network=Brightness(),
        postprocessing=Compose(
            [
                Activationsd("pred", sigmoid=True),
                Invertd("pred", transform=pipeline, orig_keys="image", nearest_interp=False),
                AsDiscreted("pred", threshold=0.5),
                SaveSegmentationd("pred", output_dir=out),
            ]
        ),
    ).run()
    assert files_in(out) == ["eye_overlay.png", "eye_seg.nii.gz", "eye_seg.png"]
    labels = np.asarray(Image.open(out / "eye_seg.png"))
    assert np.array_equal(labels, expected_labels(fundus_files))
    overlay = np.asarray(Image.open(out / "eye_overlay.png"))
    assert tuple(overlay[25, 40 - 12]) == TRUTH_COLOR
