# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Folders that others have prepared."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from grata_monai.data import fundus_datalist
from grata_monai.imaging import encode_mask
from grata_monai.preparation import (
    AuthorsFundus,
    DofeFundus,
    PrepareOptions,
    RegionOptions,
    RimOneDl,
    open_raw,
    prepare,
    recognize,
)
from tests.preparation.conftest import disc_and_cup, photograph, save

OPTIONS = PrepareOptions(jobs=1, progress=False)
WHOLE = RegionOptions(center="whole")


def grey(number):
    return encode_mask(np.stack(disc_and_cup(number)))


def recognized(root):
    with open_raw([root]) as files:
        return recognize(files)


def run(dataset, root, out, region=WHOLE, **options):
    options = PrepareOptions(jobs=1, progress=False, **options)
    return prepare(dataset, [root], out, region=region, options=options)


def write_authors(root, listed_suffix=".png", stored=".png"):
    for split, numbers in (("train", (1, 2)), ("test", (3,))):
        rows = ["image,mask"]
        for number in numbers:
            save(photograph(number), root / f"X/{split}/image/{number}.png")
            save(grey(number), root / f"X/{split}/mask/{number}{stored}")
            rows.append(f"X/{split}/image/{number}.png,X/{split}/mask/{number}{listed_suffix}")
        (root / f"X_{split}.csv").write_text("\ufeff" + "\r\n".join(rows) + "\r\n")
    return root


def test_authors_layout_comes_out_as_it_was(tmp_path):
    root = write_authors(tmp_path / "in" / "Processed_Fundus_Images")
    (dataset,) = recognized(tmp_path / "in")
    assert dataset == AuthorsFundus(name="X")
    outcome = run(dataset, tmp_path / "in", tmp_path / "out")
    assert outcome.complete
    for before, after in zip(fundus_datalist(root), fundus_datalist(tmp_path / "out"), strict=True):
        for key in ("image", "label"):
            pixels = [np.asarray(Image.open(item[key])) for item in (before, after)]
            assert np.array_equal(*pixels)


def test_levels_that_are_a_little_off_become_the_three(tmp_path):
    root = write_authors(tmp_path / "in")
    mask = grey(1)
    save(
        np.where(mask == 128, 90 + np.arange(120, dtype=np.uint8) % 3, mask).astype(np.uint8),
        root / "X/train/mask/1.png",
    )
    assert run(AuthorsFundus(name="X"), root, tmp_path / "out").complete
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/X/train/mask/1.png")), mask)


def test_experts_of_riga(tmp_path):
    root = write_authors(tmp_path / "in", listed_suffix=".tif", stored="-1.tif")
    outcome = run(AuthorsFundus(name="X"), root, tmp_path / "out")
    assert outcome.complete
    assert outcome.records[0].source_masks == ["X/train/mask/1-1.tif"]


def test_missing_files_and_label_maps_are_reported_together(tmp_path):
    root = write_authors(tmp_path / "in")
    (root / "X/train/image/1.png").unlink()
    labels = np.select([grey(3) == 0, grey(3) == 128], [2, 1], 0)
    save(labels.astype(np.uint8), root / "X/test/mask/3.png")
    outcome = run(AuthorsFundus(name="X"), root, tmp_path / "out")
    assert not outcome.complete
    assert [problem.what.split(" (")[0] for problem in outcome.problems] == [
        "the list names a file that is not there",
        "the mask has levels of unknown meaning",
    ]
    assert outcome.problems[0].file.endswith("X_train.csv, line 2")
    assert run(AuthorsFundus(name="X"), root, tmp_path / "out", allow_partial=True).complete


def test_dofe(tmp_path):
    root = tmp_path / "Fundus"
    names = {1: "gdrishtiGS_001", 2: "G-1-L", 3: "n0001", 4: "V0001"}
    for number in names:
        for split in ("train", "test"):
            rois = root / f"Domain{number}/{split}/ROIs"
            name = f"{names[number]}{split[1]}"
            save(photograph(number), rois / f"image/{name}.png")
            smooth = np.where(grey(number) == 0, 30, grey(number)).astype(np.uint8)
            save(smooth, rois / f"mask/{name}.png")
            save(photograph(9), root / f"Domain{number}/{split}/image/{name}.png")
    found = recognized(root)
    assert [dataset.domain for dataset in found] == [
        "Drishti_GS",
        "RIM_ONE_r3",
        "REFUGE",
        "REFUGE_Valid",
    ]
    assert all(isinstance(dataset, DofeFundus) for dataset in found)
    outcome = run(found[0], root, tmp_path / "out")
    assert outcome.complete
    assert [record.split for record in outcome.records] == ["train", "test"]
    pixels = np.asarray(Image.open(tmp_path / "out/Drishti_GS/test/mask/gdrishtiGS_001e.png"))
    assert np.array_equal(pixels, grey(1))
    assert run(found[3], root, tmp_path / "out").complete
    assert [path.name for path in (tmp_path / "out").glob("REFUGE*.csv")] == ["REFUGE_Valid.csv"]
    stored = np.asarray(Image.open(tmp_path / "out/Drishti_GS/test/image/gdrishtiGS_001e.png"))
    assert np.array_equal(stored, photograph(1))


@pytest.mark.parametrize("partition", ["random", "hospital"])
def test_rim_one_dl(tmp_path, partition):
    root = tmp_path / "in"
    images, masks = root / "RIM-ONE_DL_images", root / "RIM-ONE_DL_reference_segmentations"
    folders = {"random": "partitioned_randomly", "hospital": "partitioned_by_hospital"}
    for kind, folder in folders.items():
        for name, split in (("r1_Im001", "training_set"), ("r3_Im002", "test_set")):
            part = (
                split
                if kind == "random"
                else {"training_set": "test_set"}.get(split, "training_set")
            )
            save(photograph(int(name[-1])), images / folder / part / "normal" / f"{name}.png")
    for name in ("r1_Im001", "r3_Im002"):
        for role, region in zip(("Disc", "Cup"), disc_and_cup(int(name[-1])), strict=True):
            save(np.where(region, 255, 0).astype(np.uint8), masks / f"normal/{name}-1-{role}-T.png")
    with open_raw([root]) as files:
        (dataset,) = recognize(files, partition=partition)
    assert dataset == RimOneDl(partition=partition)
    outcome = run(dataset, root, tmp_path / "out")
    assert outcome.complete
    order = ["r1_Im001", "r3_Im002"]
    names = [record.name for record in outcome.records]
    assert names == (order if partition == "random" else order[::-1])


def test_size(tmp_path):
    root = write_authors(tmp_path / "in")
    region = RegionOptions(center="whole", size=64)
    outcome = run(AuthorsFundus(name="X"), root, tmp_path / "out", region)
    image = Image.fromarray(photograph(1)).resize((64, 64), Image.Resampling.BICUBIC)
    stored = np.asarray(Image.open(tmp_path / "out" / outcome.records[0].image))
    assert np.array_equal(stored, np.asarray(image))


def test_images_of_one_name_do_not_overwrite_each_other(tmp_path):
    rows = ["image,mask"]
    for number in (1, 2):
        save(photograph(number), tmp_path / f"in/M/{number}/image/1.png")
        save(grey(number), tmp_path / f"in/M/{number}/mask/1.png")
        rows.append(f"M/{number}/image/1.png,M/{number}/mask/1.png")
    (tmp_path / "in/M.csv").write_text("\n".join(rows) + "\n")
    outcome = run(AuthorsFundus(name="M"), tmp_path / "in", tmp_path / "out")
    assert [record.name for record in outcome.records] == ["M_1_image_1", "M_2_image_1"]
    for number, record in enumerate(outcome.records, 1):
        stored = np.asarray(Image.open(tmp_path / "out" / record.image))
        assert np.array_equal(stored, photograph(number))
    (tmp_path / "in/M.csv").write_text("\n".join([*rows, rows[1]]) + "\n")
    twice = run(AuthorsFundus(name="M"), tmp_path / "in", tmp_path / "out2", allow_partial=True)
    assert [record.name for record in twice.records] == ["M_2_image_1"]


def test_something_else(tmp_path):
    save(photograph(1), tmp_path / "1.png")
    assert recognized(tmp_path) == []
