# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Own data: pairing by names and by tables, encodings, names of the prepared files."""

from __future__ import annotations

import numpy as np
import pytest

from grata_monai.preparation import Generic, open_raw
from grata_monai.preparation.decoding import Notes
from grata_monai.preparation.problems import FileError
from grata_monai.preparation.raw_dataset import check_claims
from tests.preparation.test_raw_datasets import EXPECTED, GREY, LABELS, pairs, touch


def find(root, **choices):
    with open_raw([root]) as files:
        found = check_claims(Generic(**choices).find(files))
    return found.items, found.problems


@pytest.mark.parametrize(
    "names",
    [
        ("images/a b.JPG", "masks/a b.png"),
        ("a b.jpg", "a b_mask.png"),
        ("train/images/a b.tif", "train/labels/a b.bmp"),
        ("images/a b.jpg", "disc/a b.png", "cup/a b.png"),
        ("images/a b.jpg", "masks/disc/a b.png", "masks/cup/a b.png"),
        ("images/a b.jpg", "gt/a b_disc.png", "gt/a b_cup.png"),
        ("a b.dcm", "a b_optic_disc.png", "a b-optic-cup.png"),
    ],
)
def test_pairs_by_name(tmp_path, names):
    items, problems = find(touch(tmp_path, *names))
    assert not problems
    assert pairs(items) == {"a b": ("", *names)}


def test_eyes_called_od_are_no_disc_masks(tmp_path):
    items, problems = find(touch(tmp_path, "p1_OD.jpg", "p1_OD_mask.png"))
    assert not problems
    assert pairs(items) == {"p1_OD": ("", "p1_OD.jpg", "p1_OD_mask.png")}


def test_what_has_no_partner(tmp_path):
    root = touch(tmp_path, "images/1.png", "images/2.png", "masks/3.png", "disc/2.png")
    items, problems = find(root)
    assert not items
    assert [(p.file.split(str(tmp_path))[1], p.what, p.detail) for p in problems] == [
        ("/images/1.png", "photograph without a mask", "missing: mask"),
        ("/images/2.png", "photograph without a mask", "missing: cup"),
        ("/masks/3.png", "mask without a photograph", ""),
    ]


def test_photographs_alone_and_same_names_in_two_folders(tmp_path):
    root = touch(tmp_path, "left/1.png", "right/1.png", "right/2.png", "right/2.jpg")
    items, problems = find(root, masks=False)
    assert [item.name for item in items] == ["left_1", "right_1"]
    assert [problem.what for problem in problems] == ["several photographs have the same name"] * 2


def test_the_nearer_mask_wins(tmp_path):
    root = touch(
        tmp_path, *(f"{side}/{kind}/1.png" for side in "ab" for kind in ("images", "masks"))
    )
    items, problems = find(root)
    assert not problems
    assert [(item.name, item.masks[0].path) for item in items] == [
        ("a_images_1", "a/masks/1.png"),
        ("b_images_1", "b/masks/1.png"),
    ]


def test_nobody_gets_the_mask_of_another(tmp_path):
    root = touch(tmp_path, "A/images/1.png", "B/images/1.png", "A/masks/1.png")
    items, problems = find(root)
    assert not items
    assert {problem.what for problem in problems} == {"another photograph has the same mask"}
    items, problems = find(touch(root, "C/masks/1.png"))
    assert [item.image.path for item in items] == ["A/images/1.png"]
    assert {problem.what for problem in problems} == {"several masks fit the photograph"}


def test_the_innermost_folder_tells_what_a_file_is(tmp_path):
    root = touch(tmp_path, "segmentation/images/1.png", "segmentation/masks/1.png")
    items, problems = find(root)
    assert not problems
    assert pairs(items) == {"1": ("", "segmentation/images/1.png", "segmentation/masks/1.png")}


def test_a_mask_in_two_rows(tmp_path):
    items, problems = table(tmp_path, "image,mask\nx/2.png,y/2.png\nd/1.png,y/2.png\n")
    assert not items
    assert len(problems) == 2


@pytest.mark.parametrize(
    ("choices", "levels"),
    [
        ({}, [GREY]),
        ({}, [LABELS]),
        ({"encoding": "grey"}, [GREY]),
        ({"encoding": "labels"}, [LABELS]),
        ({"encoding": "levels", "levels": (0, 100, 200)}, [(LABELS * 100).astype(np.uint8)]),
        ({"encoding": "grey", "tolerance": 5}, [np.clip(GREY.astype(int) - 4, 0, 255)]),
        ({"tolerance": 5}, [np.clip(GREY.astype(int) - 4, 0, 255)]),
        ({}, [EXPECTED[0] * np.uint8(255), EXPECTED[1] * np.uint8(1)]),
        ({"tolerance": 9}, [EXPECTED[0] * np.uint8(250), EXPECTED[1] * np.uint8(255)]),
    ],
)
def test_encodings(choices, levels):
    assert np.array_equal(Generic(**choices).decode(levels, Notes()), EXPECTED)


def test_unknown_levels():
    with pytest.raises(FileError, match="levels of unknown meaning"):
        Generic().decode([GREY + np.uint8(1)], Notes())


def table(tmp_path, text, **choices):
    root = touch(
        tmp_path / "raw", "Bilder/Ä 1.png", "Masken/Ä 1.png", "x/2.png", "y/2.png", "d/1.png"
    )
    (tmp_path / "pairs.csv").write_text(text, encoding="utf-8")
    return find(root, pairs=str(tmp_path / "pairs.csv"), **choices)


def test_table_with_paths_of_another_computer(tmp_path):
    items, problems = table(
        tmp_path,
        "image,mask,split,center_row,center_col\n"
        "C:\\Daten\\Bilder\\Ä 1.png,C:\\Daten\\Masken\\ä 1.PNG,test,3,4.5\n"
        "/home/me/x/2.png,y/2.png,train,,\n",
    )
    assert not problems
    assert pairs(items) == {
        "2": ("train", "x/2.png", "y/2.png"),
        "Ä 1": ("test", "Bilder/Ä 1.png", "Masken/Ä 1.png"),
    }
    assert [item.center for item in items] == [None, (3.0, 4.5)]


def test_table_with_disc_and_cup(tmp_path):
    items, problems = table(tmp_path, "image,disc,cup\nBilder/Ä 1.png,x/2.png,y/2.png\n")
    assert not problems
    assert pairs(items) == {"Ä 1": ("", "Bilder/Ä 1.png", "x/2.png", "y/2.png")}


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("9.png,x/2.png,", "column 'image' is not among the raw files"),
        ("elsewhere/2.png,y/2.png,", "no raw file has the path in the column 'image'"),
        ("x/2.png,other/2.png,", "no raw file has the path in the column 'mask'"),
        ("x/2.png,9.png,", "column 'mask' is not among the raw files"),
        ("2.png,y/2.png,", "several files fit the path in the column 'image'"),
        ("x/2.png,,", "column 'mask' is empty"),
        ("x/2.png,y/2.png,valid", "split must be train, test or empty"),
    ],
)
def test_rows_that_do_not_fit_are_all_reported(tmp_path, row, what):
    items, problems = table(tmp_path, f"image,mask,split\n{row}\nd/1.png,Masken/Ä 1.png,\n{row}\n")
    assert [item.name for item in items] == ["1"]
    assert [what in problem.what for problem in problems] == [True, True]
    assert [problem.file.rsplit(", ", 1)[-1] for problem in problems] == ["line 2", "line 4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("photo,mask\na,b\n", "column 'image'"),
        ("image,mask\n", "a row per photograph"),
        ("image\nd/1.png\n", "no column 'mask', nor 'disc' and 'cup'"),
        ("", "Found: nothing"),
    ],
)
def test_tables_that_are_none(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        table(tmp_path, text)


def test_table_without_masks(tmp_path):
    items, problems = table(tmp_path, "image\nd/1.png\n", masks=False)
    assert not problems
    assert pairs(items) == {"1": ("", "d/1.png")}


def test_splits(tmp_path):
    root = touch(
        tmp_path, *(f"images/{i}.png" for i in range(10)), *(f"masks/{i}.png" for i in range(10))
    )
    items, _ = find(root, split="even", test_share=0.3)
    assert [item.name for item in items if item.split == "test"] == ["3", "6", "9"]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"name": "my data"}, "'name' parameter"),
        ({"name": "Mine_train"}, "'name' parameter"),
        ({"name": "../x"}, "'name' parameter"),
        ({"levels": (0, 1, 2)}, "levels of a mask go with the encoding 'levels'"),
        ({"encoding": "levels"}, "levels of a mask go with the encoding 'levels'"),
        ({"encoding": "rgb"}, "'encoding' parameter"),
        ({"tolerance": 200}, "'tolerance' parameter"),
    ],
)
def test_bad_choices(choices, message):
    with pytest.raises(ValueError, match=message):
        Generic(**choices)
