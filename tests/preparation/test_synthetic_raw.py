# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Synthetic raw downloads: nesting, names, formats, sizes and encodings, read without the package.

The expectations are written out from descriptions of the real archives.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile

import numpy as np
import pytest
import scipy.io
from PIL import Image
from scipy import ndimage

from grata_monai.preparation.official import official_stems
from grata_monai.preparation.splits import even_split
from grata_monai.preparation.synthetic_raw import (
    RAW_LAYOUTS,
    synthetic_raw_stems,
    write_synthetic_raw,
)

SCALE = 0.1
IMAGES = 5
COUNTS = {"rim-one-r3": 159, "refuge": 400, "origa": 650, "refuge-valid": 800, "drishti-gs": 101}
EXPERTS = "(Average_masks/%s-{0}-Avg|Expert1_masks/%s-1-{0}-exp1|Expert2_masks/%s-1-{0}-exp2)" % (
    (r"[GNS]-\d+-[LR]",) * 3
)
NAMES = {
    "rim-one-r3": [
        r"RIM-ONE r3/(Healthy|Glaucoma and suspects)/Stereo Images/[GNS]-\d+-[LR]\.jpg",
        rf"RIM-ONE r3/(Healthy|Glaucoma and suspects)/{EXPERTS.format('Disc')}\.png",
        rf"RIM-ONE r3/(Healthy|Glaucoma and suspects)/{EXPERTS.format('Cup')}\.png",
    ],
    "refuge": [
        r"Training400/(Glaucoma/g|Non-Glaucoma/n)\d{4}\.jpg",
        r"Annotation-Training400/Disc_Cup_Masks/(Glaucoma/g|Non-Glaucoma/n)\d{4}\.bmp",
    ],
    "origa": [
        r"ORIGA/Images/\d{3}\.jpg",
        r"ORIGA/Masks/\d{3}\.png",
        r"ORIGA/Semi-automatic-annotations/\d{3}\.mat",
        r"ORIGA/OrigaList\.csv",
    ],
    "refuge-valid": [
        r"REFUGE-Validation400/V\d{4}\.jpg",
        r"REFUGE-Validation400-GT/Disc_Cup_Masks/V\d{4}\.bmp",
        r"Test400/T\d{4}\.jpg",
        r"REFUGE-Test-GT/Disc_Cup_Masks/[GN]/T\d{4}\.bmp",
    ],
    "drishti-gs": [
        r"Drishti-GS1_files/(Training|Test)/Images/drishtiGS_\d{3}\.png",
        r"Drishti-GS1_files/(Training/GT|Test/Test_GT)/(drishtiGS_\d{3})/SoftMap/"
        r"\2_(OD|cup)segSoftmap\.png",
        r"Drishti-GS1_files/(Training/GT|Test/Test_GT)/(drishtiGS_\d{3})/AvgBoundary/"
        r"\2_diskCenter\.txt",
    ],
}
ARCHIVES = {
    "rim-one-r3": {"RIM-ONE r3.zip"},
    "refuge": {"REFUGE-Training400.zip", "Annotation-Training400.zip"},
    "origa": {"ORIGA.zip"},
    "refuge-valid": {
        "REFUGE-Validation400.zip",
        "REFUGE-Validation400-GT.zip",
        "REFUGE-Test400.zip",
        "REFUGE-Test-GT.zip",
    },
    "drishti-gs": {"Drishti-GS1_files.zip"},
}


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every layout's files by path."""
    root = tmp_path_factory.mktemp("raw")
    return {
        layout: contents(
            write_synthetic_raw(root / layout, layout, images=IMAGES, scale=SCALE, seed=1)
        )
        for layout in RAW_LAYOUTS
    }


def image(content):
    with Image.open(io.BytesIO(content)) as opened:
        return np.asarray(opened)


def kind(content):
    with Image.open(io.BytesIO(content)) as opened:
        return opened.format, opened.mode, opened.size


def among(files, pattern):
    return {path: content for path, content in files.items() if re.search(pattern, path)}


def photographs(files):
    return {
        path: content
        for path, content in among(files, r"\.(jpg|png)$").items()
        if not re.search(r"(?i)mask|softmap", path)
    }


def test_layouts_are_the_five():
    assert list(RAW_LAYOUTS) == list(COUNTS)


@pytest.mark.parametrize("layout", RAW_LAYOUTS)
def test_every_file_has_an_official_name_and_every_sort_is_there(written, layout):
    files = written[layout]
    for pattern in NAMES[layout]:
        assert any(re.fullmatch(pattern, path) for path in files), pattern
    for path in files:
        assert any(re.fullmatch(pattern, path) for pattern in NAMES[layout]), path
    stems = {re.sub(r".*/(.*)\..*", r"\1", path) for path in photographs(files)}
    assert stems == set(synthetic_raw_stems(layout, IMAGES))
    assert len(stems) == IMAGES


@pytest.mark.parametrize("layout", RAW_LAYOUTS)
def test_discs_are_brighter_than_what_is_around_them(written, layout):
    """Photograph and mask belong together."""
    files = written[layout]
    for path, content in photographs(files).items():
        pixels = image(content).astype(float)
        stem = path.rsplit("/", 1)[1].split(".")[0]
        disc = whole_disc(layout, files, stem)
        ring = ndimage.binary_dilation(disc, iterations=6) & ~ndimage.binary_dilation(disc)
        assert pixels[disc, 1].mean() > 1.05 * pixels[ring, 1].mean()
        # the disc lies in the lit part
        assert pixels[disc].max(-1).min() > 25


def whole_disc(layout, files, stem):
    ending = {
        "rim-one-r3": rf"/{stem}-Disc-Avg\.png",
        "drishti-gs": rf"/{stem}_ODsegSoftmap\.png",
        "origa": rf"/Masks/{stem}\.png",
    }.get(layout, rf"/{stem}\.bmp")
    (mask,) = (image(content) for content in among(files, ending + "$").values())
    return mask < 255 if layout.startswith("refuge") else mask > 0


def test_rim_one_has_stereo_pairs_with_all_marks_on_the_left(written):
    files = written["rim-one-r3"]
    assert len(files) == IMAGES * 7
    for path, content in photographs(files).items():
        assert kind(content) == ("JPEG", "RGB", (214, 142))
        left, right = (half.astype(float) for half in np.split(image(content), 2, axis=1))
        # the right half is the same scene, a little shifted
        best = min(range(8), key=lambda by: np.abs(left[:, by:100] - right[:, : 100 - by]).mean())
        assert 1 <= best <= 4
        assert np.abs(left - right).mean() > 1
        assert ("/Healthy/" in path) == ("/N-" in path)
    areas = {}
    for path, content in among(files, r"\.png$").items():
        assert kind(content) == ("PNG", "L", (214, 142))
        mask = image(content)
        assert set(np.unique(mask)) == {0, 255}
        assert not mask[:, 107:].any()
        stem, role = re.search(r"/([GNS]-\d+-[LR]).*-(Disc|Cup)", path).groups()
        areas.setdefault((stem, role), {})[path.split("/")[2]] = (mask > 0).sum(), mask > 0
    assert len(areas) == 2 * IMAGES
    for (stem, role), by in areas.items():
        small, middle, large = (by[f"{who}_masks"][0] for who in ("Expert2", "Average", "Expert1"))
        assert small < middle < large < 2 * small
        if role == "Cup":
            for who, (_, cup) in by.items():
                assert not (cup & ~areas[stem, "Disc"][who][1]).any()


def test_refuge_has_its_levels_and_discs_on_the_left(written):
    for layout, size in (("refuge", (212, 206)), ("refuge-valid", (163, 163))):
        files = written[layout]
        assert len(files) == 2 * IMAGES
        for path, content in files.items():
            is_mask = path.endswith(".bmp")
            assert kind(content) == (("BMP", "L", size) if is_mask else ("JPEG", "RGB", size))
            if is_mask:
                mask = image(content)
                assert set(np.unique(mask)) == {0, 128, 255}
                assert ndimage.center_of_mass(mask < 255)[1] < 0.4 * size[0]
                assert mask[0, 0] == 255
            else:
                assert image(content)[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 12
    assert any("/Glaucoma/" in path for path in written["refuge"])
    assert any("/Non-Glaucoma/" in path for path in written["refuge"])


def test_origa_has_labels_twice_and_a_list(written):
    files = written["origa"]
    masks = among(files, r"/Masks/")
    assert len(masks) == IMAGES
    for path, content in masks.items():
        assert kind(content) == ("PNG", "L", (307, 205))
        labels = image(content)
        assert set(np.unique(labels)) == {0, 1, 2}
        stem = path[-7:-4]
        matrix = scipy.io.loadmat(
            io.BytesIO(files[f"ORIGA/Semi-automatic-annotations/{stem}.mat"])
        )["mask"]
        assert np.array_equal(matrix, labels)
        assert kind(files[f"ORIGA/Images/{stem}.jpg"]) == ("JPEG", "RGB", (307, 205))
    rows = list(csv.DictReader(io.StringIO(files["ORIGA/OrigaList.csv"].decode())))
    assert list(rows[0]) == ["Eye", "Filename", "ExpCDR", "Set", "Glaucoma"]
    assert [row["Filename"] for row in rows] == sorted(f"{path[-7:-4]}.jpg" for path in masks)
    assert {row["Set"] for row in rows} == {"A", "B"}
    for row in rows:
        labels = image(files[f"ORIGA/Masks/{row['Filename'][:3]}.png"])
        heights = [(labels >= low).any(1).sum() for low in (2, 1)]
        assert float(row["ExpCDR"]) == pytest.approx(heights[0] / heights[1], abs=1e-3)
        assert row["Glaucoma"] == str(int(float(row["ExpCDR"]) > 0.6))


def test_drishti_has_soft_maps_of_four_nested_experts(written):
    files = written["drishti-gs"]
    for path, content in photographs(files).items():
        form, mode, (width, height) = kind(content)
        assert (form, mode) == ("PNG", "RGB")
        assert width in (204, 205)
        assert height in (175, 176)
        stem = path[-17:-4]
        soft = {
            role: image(*among(files, rf"{stem}_{role}segSoftmap").values())
            for role in ("OD", "cup")
        }
        for levels in soft.values():
            assert levels.dtype == np.uint8
            assert levels.shape == (height, width)
            assert set(np.unique(levels)) == {0, 64, 128, 191, 255}
            areas = [(levels >= level).sum() for level in (255, 191, 128, 64)]
            assert areas == sorted(set(areas))
            assert ndimage.label(levels == 255)[1] == 1
        # as many agree on the disc as on the cup in it
        assert (soft["cup"] <= soft["OD"]).all()
        (text,) = among(files, rf"{stem}_diskCenter").values()
        assert np.allclose(
            [float(number) for number in text.split()],
            ndimage.center_of_mass(soft["OD"] >= 128),
            atol=2,
        )


def test_drishti_and_rim_one_put_images_into_their_published_split(written):
    test = official_stems("Drishti_GS")["test"]
    for path in photographs(written["drishti-gs"]):
        assert (path[-17:-4] in test) == ("/Test/" in path)


@pytest.mark.parametrize("layout", RAW_LAYOUTS)
def test_selection_has_both_parts_and_is_spread(layout):
    everything = synthetic_raw_stems(layout)
    assert len(set(everything)) == len(everything) == COUNTS[layout]
    assert synthetic_raw_stems(layout, 10_000) == everything
    domain = {
        "rim-one-r3": "RIM_ONE_r3",
        "refuge": "REFUGE",
        "origa": "ORIGA",
        "refuge-valid": "REFUGE_Valid",
        "drishti-gs": "Drishti_GS",
    }[layout]
    official = official_stems(domain)
    assert sorted(everything) == sorted(stem for part in official.values() for stem in part)
    if layout == "refuge-valid":
        test = {stem for stem in everything if stem[0] == "T"}
    elif layout in {"refuge", "origa"}:
        test = set(even_split(official[""], {"refuge": 80, "origa": 150}[layout])["test"])
    else:
        test = set(official["test"])
    for count in (2, 3, 10, 57, COUNTS[layout] - 1):
        chosen = synthetic_raw_stems(layout, count)
        assert len(set(chosen)) == len(chosen) == count
        assert 0 < len(test.intersection(chosen)) < count
        share = len(test.intersection(chosen)) / count
        assert count < 10 or share == pytest.approx(len(test) / COUNTS[layout], abs=0.06)


def test_refuge_test_set_has_as_many_glaucoma_masks_as_the_real_one():
    from grata_monai.preparation._synthetic_layouts import Eye, refuge_valid_files

    folders = [
        next(path for path in files if path.endswith(".bmp")).split("/")[2]
        for number in range(1, 11)
        for files in [refuge_valid_files(Eye("refuge-valid", f"T{number:04d}", True, 0.05, 0))]
    ]
    assert folders.count("G") == 1  # 40 of 400


@pytest.mark.parametrize("layout", RAW_LAYOUTS)
def test_image_depends_on_seed_and_name_but_not_on_the_count(tmp_path, written, layout):
    again, more, other = (
        contents(write_synthetic_raw(tmp_path / name, layout, images=n, scale=SCALE, seed=seed))
        for name, n, seed in (("again", IMAGES, 1), ("more", IMAGES + 4, 1), ("other", 2, 2))
    )
    assert again == written[layout]
    shared = [path for path in more if path in again and not path.endswith(".csv")]
    assert shared
    assert all(more[path] == again[path] for path in shared)
    for path in photographs(other):
        assert other[path] != again.get(path)


def test_same_number_is_another_eye_in_another_layout(written):
    origa = image(written["origa"]["ORIGA/Masks/001.png"])
    refuge = image(written["refuge"]["Annotation-Training400/Disc_Cup_Masks/Glaucoma/g0001.bmp"])
    assert (origa > 0).sum() != (refuge < 255).sum()


@pytest.mark.parametrize("layout", RAW_LAYOUTS)
def test_zip_archives_hold_the_same_files(tmp_path, written, layout):
    steps = []
    root = write_synthetic_raw(
        tmp_path / "zips",
        layout,
        images=IMAGES,
        scale=SCALE,
        seed=1,
        zipped=True,
        progress=steps.append,
    )
    assert steps == [1] * IMAGES
    assert {path.name for path in root.iterdir()} == ARCHIVES[layout]
    packed = {}
    for path in root.iterdir():
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            packed.update({name: archive.read(name) for name in archive.namelist()})
    assert packed == written[layout]


def test_archive_that_was_not_finished_does_not_appear(tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic_raw(
            tmp_path, "drishti-gs", images=2, scale=0.05, zipped=True, progress=stop
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("layout", RAW_LAYOUTS)
def test_smallest_scale_still_has_all_levels(tmp_path, layout):
    files = contents(write_synthetic_raw(tmp_path, layout, images=2, scale=0.05))
    levels = {"rim-one-r3": 2, "origa": 3, "drishti-gs": 5}.get(layout, 3)
    pattern = r"(?i)softmap|/masks/|_masks/"
    for path, content in among(files, pattern).items():
        assert len(np.unique(image(content))) == levels, path


def test_native_size_at_scale_one(tmp_path):
    files = contents(write_synthetic_raw(tmp_path, "refuge-valid", images=2, scale=1.0))
    assert {kind(content)[2] for content in files.values()} == {(1634, 1634)}
    for content in among(files, r"\.bmp$").values():
        diameter = 2 * np.sqrt((image(content) < 255).sum() / np.pi)
        assert 162 < diameter < 352  # the real ones have 162 to 288


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layout": "drishti"}, r"did you mean 'drishti-gs'\?"),
        ({"images": 1}, r"'images' parameter of write_synthetic_raw .* Got 1"),
        ({"scale": 0.01}, r"'scale' parameter of write_synthetic_raw .* Got 0.01"),
        ({"scale": 2}, r"'scale' parameter of write_synthetic_raw .* Got 2"),
        ({"seed": -1}, r"'seed' parameter of write_synthetic_raw .* Got -1"),
    ],
)
def test_wrong_arguments_are_named_and_nothing_is_written(tmp_path, arguments, message):
    given = {"layout": "drishti-gs", **arguments}
    with pytest.raises(ValueError, match=message):
        write_synthetic_raw(tmp_path / "out", given.pop("layout"), **given)
    assert not (tmp_path / "out").exists()
