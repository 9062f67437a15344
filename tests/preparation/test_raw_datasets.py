# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Names, nestings and encodings of the five data sets, on files drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from grata_monai.preparation import (
    DrishtiGS,
    Origa,
    RefugeTraining,
    RefugeValid,
    RimOneR3,
    open_raw,
)
from grata_monai.preparation.decoding import Notes
from grata_monai.preparation.problems import FileError
from grata_monai.preparation.raw_dataset import MISSING

GREY = np.full((4, 6), 255, np.uint8)
GREY[1:3, 1:4], GREY[1, 2] = 128, 0
LABELS = np.select([GREY == 0, GREY == 128], [2, 1], 0).astype(np.uint8)
EXPECTED = np.stack([GREY < 255, GREY == 0])


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def find(dataset, root):
    with open_raw([root]) as files:
        found = dataset.find(files)
    return found.items, [problem for problem in found.problems if problem.what != MISSING]


def pairs(items):
    return {
        item.name: (item.split, item.image.path, *(mask.path for mask in item.masks))
        for item in items
    }


def test_drishti_official_nesting(tmp_path):
    root = touch(
        tmp_path,
        "Drishti-GS1_files/Training/Images/drishtiGS_002.png",
        "Drishti-GS1_files/Training/GT/drishtiGS_002/SoftMap/drishtiGS_002_ODsegSoftmap.png",
        "Drishti-GS1_files/Training/GT/drishtiGS_002/SoftMap/drishtiGS_002_cupsegSoftmap.png",
        "Drishti-GS1_files/Training/GT/drishtiGS_002/AvgBoundary/drishtiGS_002_ODAvgBoundary.txt",
        "Drishti-GS1_files/Test/Images/drishtiGS_001.png",
        "Drishti-GS1_files/Test/Test_GT/drishtiGS_001/SoftMap/drishtiGS_001_ODsegSoftmap.png",
        "Drishti-GS1_files/Test/Test_GT/drishtiGS_001/SoftMap/drishtiGS_001_cupsegSoftmap.png",
    )
    items, problems = find(DrishtiGS(), root)
    assert not problems
    assert [(item.name, item.split) for item in items] == [
        ("drishtiGS_002", "train"),
        ("drishtiGS_001", "test"),
    ]
    assert [mask.stem[-12:] for mask in items[0].masks] == ["ODsegSoftmap", "upsegSoftmap"]


def test_drishti_mirror_with_copies_and_other_case(tmp_path):
    soft = "Test-20211018T060000Z-001/Test/Test_GT/drishtiGS_001/SoftMap/drishtiGS_001_"
    root = touch(
        tmp_path,
        "Test-20211018T060000Z-001/Test/Images/glaucoma/drishtiGS_001.PNG",
        "Test-20211018T060000Z-001/Test/Images/ALL/drishtiGS_001.png",
        f"{soft}ODsegSoftmap.png",
        f"{soft}cupsegSoftmap.png",
    )
    items, problems = find(DrishtiGS(), root)
    assert [item.name for item in items] == ["drishtiGS_001"]
    assert not problems
    (tmp_path / "Test-20211018T060000Z-001/Test/Images/ALL/drishtiGS_001.png").write_bytes(b"other")
    items, problems = find(DrishtiGS(), root)
    assert not items
    assert "different files of the same name" in problems[0].what


@pytest.mark.parametrize(("agreement", "expected"), [(4, 1), (3, 2), (2, 3), (1, 4)])
def test_drishti_agreement(agreement, expected):
    levels = np.array([[0, 64, 128, 191, 255]], np.uint8)
    mask = DrishtiGS(agreement=agreement).decode([levels, levels], Notes())
    assert mask.sum(axis=(1, 2)).tolist() == [expected, expected]


def test_drishti_other_levels():
    with pytest.raises(FileError) as caught:
        DrishtiGS().decode([np.array([[0, 100, 255]], np.uint8)] * 2, Notes())
    assert caught.value.detail == "levels 100"


RIM = "RIM-ONE r3/Healthy/"


def test_rim_one_annotators(tmp_path):
    names = [f"{RIM}Stereo Images/N-1-L.jpg", f"{RIM}Average_masks/N-1-L.txt"]
    for part in ("Disc", "Cup"):
        names.append(f"{RIM}Average_masks/N-1-L-{part}-Avg.png")
        names += [f"{RIM}Expert{i}_masks/N-1-L-1-{part}-exp{i}.png" for i in (1, 2)]
    root = touch(tmp_path, *names)
    for annotator, ending in (("average", "-Avg"), ("expert1", "-1-{}-exp1"), ("expert2", "exp2")):
        items, problems = find(RimOneR3(annotator=annotator), root)
        assert not problems
        assert [item.split for item in items] == ["test"]
        disc, cup = (mask.path for mask in items[0].masks)
        assert "Disc" in disc
        assert "Cup" in cup
        assert ending.format("Disc") in disc


def test_rim_one_takes_the_left_view():
    pair = np.zeros((6, 10), np.uint8)
    pair[1:4, 1:4] = 255
    dataset = RimOneR3()
    assert dataset.view(pair).shape == (6, 5)
    mask = dataset.decode([pair, pair], Notes())
    assert mask.shape == (2, 6, 5)
    assert mask[0].sum() == 9
    single = np.zeros((6, 5, 3), np.uint8)
    assert dataset.view(single).shape == (6, 5, 3)
    with pytest.raises(FileError, match="right view"):
        dataset.decode([pair[:, ::-1], pair[:, ::-1]], Notes())


@pytest.mark.parametrize(
    "names",
    [
        (
            "REFUGE2/Training400/Glaucoma/g0001.jpg",
            "REFUGE2/Annotation-Training400/Annotation-Training400/Disc_Cup_Masks/Glaucoma/g0001.bmp",
        ),
        ("REFUGE/train/Images/g0001.jpg", "REFUGE/train/gts/g0001.bmp"),
        ("REFUGE/REFUGE/train/Images/g0001.jpg", "REFUGE/REFUGE/train/Masks/g0001.png"),
        ("train/images/g0001.JPG", "train/mask/g0001.png"),
    ],
)
def test_refuge_nestings(tmp_path, names):
    root = touch(tmp_path, *names)
    items, problems = find(RefugeTraining(split="none"), root)
    assert not problems
    assert pairs(items) == {"g0001": ("", *names)}


def test_refuge_prefers_the_original_masks_and_skips_other_framings(tmp_path):
    root = touch(
        tmp_path,
        "REFUGE/train/Images/g0001.jpg",
        "REFUGE/train/Images_Cropped/g0001.jpg",
        "REFUGE/Images_Square/g0001.jpg",
        "REFUGE/train/Masks/g0001.png",
        "REFUGE/train/Masks_Cropped/g0001.png",
        "REFUGE/train/gts/g0001.bmp",
    )
    items, problems = find(RefugeTraining(), root)
    assert not problems
    assert pairs(items)["g0001"][1:] == (
        "REFUGE/train/Images/g0001.jpg",
        "REFUGE/train/gts/g0001.bmp",
    )


@pytest.mark.parametrize("levels", [GREY, LABELS])
def test_refuge_tells_the_encodings_apart(levels):
    assert np.array_equal(RefugeTraining().decode([levels], Notes()), EXPECTED)


def test_refuge_valid_has_validation_and_test(tmp_path):
    names = (
        "REFUGE-Validation400/V0001.jpg",
        "REFUGE-Validation400-GT/Disc_Cup_Masks/V0001.bmp",
        "Test400/T0001.jpg",
        "REFUGE-Test-GT/Disc_Cup_Masks/G/T0001.bmp",
    )
    items, problems = find(RefugeValid(), touch(tmp_path, *names))
    assert not problems
    assert pairs(items) == {"V0001": ("", *names[:2]), "T0001": ("", *names[2:])}


def test_refuge_splits(tmp_path):
    names = [f"g{number:04d}" for number in range(1, 41)]
    root = touch(tmp_path / "raw", *(f"i/{n}.jpg" for n in names), *(f"m/{n}.bmp" for n in names))
    items, _ = find(RefugeTraining(), root)
    assert [item.name for item in items if item.split == "test"] == names[4::5]
    (tmp_path / "tests.txt").write_text("g0002\n")
    chosen = RefugeTraining(split="file", test_names=str(tmp_path / "tests.txt"))
    assert [item.name for item in find(chosen, root)[0] if item.split == "test"] == ["g0002"]
    assert {item.split for item in find(RefugeTraining(split="none"), root)[0]} == {""}


def test_what_is_missing_is_said(tmp_path):
    root = touch(tmp_path, "a/g0001.jpg", "m/g0002.bmp")
    items, problems = find(RefugeTraining(), root)
    assert not items
    assert {(problem.file.rsplit("/", 1)[-1], problem.what) for problem in problems} == {
        ("g0001.jpg", "photograph without a mask"),
        ("g0002.bmp", "mask without a photograph"),
    }
    with open_raw([root]) as files:
        everything = RefugeTraining().find(files).problems
    assert len(everything) == 400


@pytest.mark.parametrize("choice", ["auto", "png", "mat"])
def test_origa_masks(tmp_path, choice):
    root = touch(
        tmp_path,
        "ORIGA/Images/001.jpg",
        "ORIGA/Masks/001.png",
        "ORIGA/Masks_Square/001.png",
        "ORIGA/Semi-automatic-annotations/001.mat",
        "ORIGA/Semi-automatic-annotations/013.tif",
        "REFUGE/train/Images/001.jpg",
    )
    items, problems = find(Origa(mask_files=choice), root)
    assert not problems
    name = "ORIGA/Masks/001.png" if choice != "mat" else "ORIGA/Semi-automatic-annotations/001.mat"
    assert pairs(items) == {"001": ("train", "ORIGA/Images/001.jpg", name)}


def test_origa_reads_matlab_files_and_fills_the_disc(tmp_path):
    labels = np.pad(LABELS, ((1, 0), (0, 0)))
    labels[1, 1:4] = 1  # the cup is now inside
    labels[2, 2] = 0  # and a hole instead
    scipy.io.savemat(tmp_path / "001.mat", {"mask": labels})
    (tmp_path / "002.mat").write_bytes(b"no matlab file")
    scipy.io.savemat(tmp_path / "003.mat", {"other": labels})
    scipy.io.savemat(tmp_path / "004.mat", {"mask": "text"})
    dataset, notes = Origa(), Notes()
    with open_raw([tmp_path]) as files:
        levels = dataset.read_levels(files[0])
        assert np.array_equal(levels, labels)
        for file in files[1:]:
            with pytest.raises(FileError, match="MATLAB file"):
                dataset.read_levels(file)
    mask = dataset.decode([levels], notes)
    assert mask[0].sum() == 9
    assert notes.counts == {"disc_holes_filled": 1}


def test_origa_split_by_set(tmp_path):
    stems = [f"{number:03d}" for number in range(1, 5)]
    root = touch(tmp_path, *(f"Images/{s}.jpg" for s in stems), *(f"Masks/{s}.png" for s in stems))
    with pytest.raises(ValueError, match=r"needs the mirror's list .*OrigaList\.csv"):
        find(Origa(split="set"), root)
    rows = "".join(f"OD,{s}.jpg,0.5,{'AB'[i % 2]},0\n" for i, s in enumerate(stems))
    (root / "OrigaList.csv").write_text("Eye,Filename,ExpCDR,Set,Glaucoma\n" + rows)
    items, _ = find(Origa(split="set"), root)
    assert [(item.name, item.split) for item in items] == [
        ("001", "train"),
        ("003", "train"),
        ("002", "test"),
        ("004", "test"),
    ]


def test_origa_images_that_are_in_no_set_are_reported(tmp_path):
    stems = ["001", "002", "003"]
    root = touch(tmp_path, *(f"Images/{s}.jpg" for s in stems), *(f"Masks/{s}.png" for s in stems))
    (root / "OrigaList.csv").write_text("Filename,Set\n001.jpg,a\n002.jpg,C\n")
    items, problems = find(Origa(split="set"), root)
    assert [(item.name, item.split) for item in items] == [("001", "train")]
    assert [problem.what for problem in problems] == ["the list says neither set A nor set B"] * 2
    with open_raw([root]) as files:
        found = Origa(split="set").find(files)
    assert len(found.items) + len(found.problems) == 650


def test_different_files_of_equal_size_are_no_copies(tmp_path):
    root = touch(tmp_path, "a/g0001.jpg", "m/g0001.bmp", "n/g0001.bmp")
    assert find(RefugeTraining(), root)[1] == []
    (root / "n/g0001.bmp").write_bytes(b"y")
    items, (problem,) = find(RefugeTraining(), root)
    assert not items
    assert "different files of the same name" in problem.what


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: RimOneR3(annotator="expert3"), "annotator"),
        (lambda: RefugeTraining(split="random"), "split"),
        (lambda: Origa(size_mismatch="stretch"), "size_mismatch"),
        (lambda: Origa(mask_files="bmp"), "mask_files"),
        (lambda: DrishtiGS(agreement=5), "agreement"),
        (lambda: DrishtiGS(size_mismatch="no"), "size_mismatch"),
    ],
)
def test_bad_choices(make, name):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        make()
