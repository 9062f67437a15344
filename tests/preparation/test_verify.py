# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Every kind of finding, made by hand in a small folder that is right otherwise."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from grata_monai.data import write_synthetic_domain
from grata_monai.preparation.duplicates import SAME_PICTURE, picture_hash, same_pictures
from grata_monai.preparation.mask_checks import check_grey_mask
from grata_monai.preparation.verify import verify_folder

DOMAIN = "Synthetic_A"
TRAIN, TEST = f"{DOMAIN}_train.csv", f"{DOMAIN}_test.csv"
IMAGE = f"{DOMAIN}/train/image/synthetic_a_0000.png"
MASK = f"{DOMAIN}/train/mask/synthetic_a_0000.png"
SIDE = 48


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    write_synthetic_domain(root, DOMAIN, images=6, size=SIDE)
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "Fundus")


def verify(root, **options):
    return verify_folder(root, jobs=1, progress=False, **options)


def found(root):
    """Return (severity, file, what) of all findings."""
    return [(f.severity, f.problem.file, f.problem.what) for f in verify(root).findings]


def edit(path, old, new, count=1):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def add_row(path, row):
    path.write_text(path.read_text() + row + "\n")


def pixels(path):
    return np.array(Image.open(path))


def test_a_folder_that_is_right(root):
    report = verify(root)
    assert report.findings == ()
    (check,) = report.domains
    assert (check.images, check.train, check.test, check.masks) == (6, 5, 1, 6)
    assert check.sizes == {"48x48": 6}
    assert check.levels == (0, 128, 255)


@pytest.mark.parametrize("header", ["img,mask", "Image,Mask", "image,mask,center_row", "image"])
def test_header(root, header):
    edit(root / TRAIN, "image,mask", header)
    assert ("error", TRAIN, "the header is not image,mask") in found(root)


def test_header_after_byte_order_mark_is_right(root):
    (root / TRAIN).write_text((root / TRAIN).read_text(), encoding="utf-8-sig")
    assert found(root) == []


def test_list_of_other_bytes(root):
    (root / TRAIN).write_bytes(b"image,mask\n\xff\xfe.png,\n")
    assert ("error", TRAIN, "the list cannot be read") in found(root)


def test_list_without_rows(root):
    (root / TEST).write_text("image,mask\n")
    assert ("error", TEST, "the list has no rows") in found(root)


def test_list_of_one_split_only(root):
    (root / TEST).unlink()
    assert ("error", TEST, "the list is missing") in found(root)


def test_list_beside_lists_with_splits(root):
    shutil.copy(root / TEST, root / f"{DOMAIN}.csv")
    findings = verify(root).findings
    assert any(f.problem.what.startswith("the list is not read") for f in findings)


def test_row_twice(root):
    row = (root / TRAIN).read_text().splitlines()[1]
    add_row(root / TRAIN, row)
    assert found(root) == [("error", IMAGE, "the list names the image twice")]


def test_image_in_both_splits(root):
    add_row(root / TEST, f"{IMAGE},{MASK}")
    assert ("error", IMAGE, "the image is in two splits") in found(root)


def test_two_images_with_one_mask(root):
    edit(root / TRAIN, "mask/synthetic_a_0002.png", "mask/synthetic_a_0000.png")
    assert ("error", MASK, "several images have the same mask file") in found(root)


def test_all_missing_files_are_named(root):
    (root / IMAGE).unlink()
    other = root / f"{DOMAIN}/test/mask/synthetic_a_0001.png"
    other.unlink()
    assert found(root) == [
        ("error", IMAGE, "the file is missing"),
        ("error", other.relative_to(root).as_posix(), "the file is missing"),
    ]


def test_absolute_path(root):
    edit(root / TRAIN, IMAGE, str(root / IMAGE))
    assert found(root) == [("error", f"{TRAIN}, line 2", "the path is absolute")]


def test_windows_absolute_path(root):
    edit(root / TRAIN, IMAGE, f"C:/{IMAGE}")
    assert ("error", f"{TRAIN}, line 2", "the path is absolute") in found(root)


def test_path_out_of_the_folder(root):
    shutil.copy(root / IMAGE, root.parent / "outside.png")
    edit(root / TRAIN, IMAGE, "../outside.png")
    assert ("error", f"{TRAIN}, line 2", "the path leads out of the folder") in found(root)


def test_backslashes_are_a_warning(root):
    edit(root / TRAIN, MASK, MASK.replace("/", "\\"))
    assert found(root) == [("warning", f"{TRAIN}, line 2", "the path has backslashes")]


def test_empty_image_cell(root):
    add_row(root / TRAIN, f",{MASK}")
    assert found(root) == [("error", f"{TRAIN}, line 7", "the column image is empty")]


def test_one_mask_is_not_named(root):
    edit(root / TRAIN, MASK, "")
    (root / MASK).unlink()
    what = "there is no mask, though others of the domain have one"
    assert found(root) == [("warning", IMAGE, what)]


def test_domain_without_masks_is_right(root):
    shutil.rmtree(root / DOMAIN / "train" / "mask")
    shutil.rmtree(root / DOMAIN / "test" / "mask")
    for name in (TRAIN, TEST):
        rows = [line.split(",")[0] for line in (root / name).read_text().splitlines()[1:]]
        (root / name).write_text("image,mask\n" + "".join(f"{row},\n" for row in rows))
    report = verify(root)
    assert report.findings == ()
    assert report.domains[0].masks == 0


@pytest.mark.parametrize(("file", "kind"), [(IMAGE, "image"), (MASK, "mask")])
def test_truncated_file(root, file, kind):
    data = (root / file).read_bytes()
    (root / file).write_bytes(data[: len(data) // 2])
    assert found(root) == [("error", file, f"the {kind} cannot be read")]


def test_truncated_jpeg(root):
    jpeg = root / DOMAIN / "train" / "image" / "photo.jpg"
    Image.open(root / IMAGE).save(jpeg, quality=95)
    jpeg.write_bytes(jpeg.read_bytes()[:-300])
    edit(root / TRAIN, IMAGE, f"{DOMAIN}/train/image/photo.jpg")
    (root / IMAGE).unlink()
    assert found(root) == [("error", f"{DOMAIN}/train/image/photo.jpg", "the image cannot be read")]


def test_image_of_one_color(root):
    Image.new("RGB", (SIDE, SIDE), (9, 9, 9)).save(root / IMAGE)
    assert found(root) == [("error", IMAGE, "the image has one color only")]


def test_image_with_transparency_is_a_warning(root):
    Image.open(root / IMAGE).convert("RGBA").save(root / IMAGE)
    assert found(root) == [("warning", IMAGE, "the image is not stored as RGB")]


def test_exif_orientation_is_a_warning(root):
    image = Image.open(root / IMAGE)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(root / IMAGE, exif=exif)
    what = "the image has an EXIF orientation, which is not followed"
    assert found(root) == [("warning", IMAGE, what)]


def test_sizes_of_image_and_mask_differ(root):
    mask = Image.open(root / MASK)
    mask.resize((SIDE, SIDE - 2), Image.Resampling.NEAREST).save(root / MASK)
    assert found(root) == [("error", MASK, "image and mask differ in size")]


def test_sizes_in_a_domain_differ(root):
    for file in (IMAGE, MASK):
        image = Image.open(root / file)
        image.resize((60, 60), Image.Resampling.NEAREST).save(root / file)
    report = verify(root)
    ((problem),) = report.warnings
    assert (problem.what, problem.detail) == ("the images differ in size", "48x48 (5), 60x60 (1)")


def test_number_of_images_of_a_benchmark_domain(root):
    for split in ("train", "test"):
        text = (root / f"{DOMAIN}_{split}.csv").read_text()
        (root / f"Drishti_GS_{split}.csv").write_text(text)
        (root / f"{DOMAIN}_{split}.csv").unlink()
    report = verify(root)
    partial = [p for p in report.warnings if p.what == "the domain is partial"]
    assert [(p.file, p.detail) for p in partial] == [("Drishti_GS", "6 of 101")]


def test_list_that_the_authors_code_does_not_look_for(root):
    for split in ("train", "test"):
        (root / f"{DOMAIN}_{split}.csv").rename(root / f"REFUGE_Valid_{split}.csv")
    what = "the authors' code does not read the list"
    assert ("warning", "REFUGE_Valid_train.csv", what) in found(root)


def test_file_that_no_list_names(root):
    shutil.copy(root / IMAGE, root / DOMAIN / "stray.txt")
    (root / DOMAIN / ".hidden").touch()
    (root / DOMAIN / "roi.csv").touch()
    assert found(root) == [("warning", f"{DOMAIN}/stray.txt", "no list names the file")]


def test_picture_twice(root):
    copy = f"{DOMAIN}/test/image/copy.jpg"
    Image.open(root / IMAGE).resize((96, 96)).save(root / copy, quality=80)
    Image.open(root / MASK).resize((96, 96), Image.Resampling.NEAREST).save(
        root / DOMAIN / "test" / "mask" / "copy.png"
    )
    add_row(root / TEST, f"{copy},{DOMAIN}/test/mask/copy.png")
    assert ("warning", copy, "the picture is in train and test twice") in found(root)


def test_picture_in_two_domains(root):
    write_synthetic_domain(root, "Synthetic_B", images=2, size=SIDE)
    other = "Synthetic_B/train/image/synthetic_b_0000.png"
    shutil.copy(root / IMAGE, root / other)
    assert found(root) == [("warning", other, "the picture is in two domains twice")]
    assert verify(root, domains=["Synthetic_B"]).findings == ()


def manifest(root, **changes):
    files = {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*.png")
    }
    (root / DOMAIN / "manifest.json").write_text(json.dumps({"files": {**files, **changes}}))


def test_files_that_are_those_of_the_manifest(root):
    manifest(root)
    assert found(root) == []


def test_file_that_is_not_that_of_the_manifest(root):
    manifest(root, **{IMAGE: "0" * 64})
    assert found(root) == [("error", IMAGE, "the file is not the one of the manifest")]


def test_file_of_the_manifest_is_missing(root):
    manifest(root, **{f"{DOMAIN}/gone.png": "0" * 64})
    assert found(root) == [("error", f"{DOMAIN}/gone.png", "a file of the manifest is missing")]


def test_file_that_the_manifest_does_not_have(root):
    manifest(root)
    (root / IMAGE).rename(root / DOMAIN / "train" / "image" / "new.png")
    edit(root / TRAIN, IMAGE, f"{DOMAIN}/train/image/new.png")
    new = ("warning", f"{DOMAIN}/train/image/new.png", "the manifest does not have the file")
    assert new in found(root)


@pytest.mark.parametrize("text", ["{", "[]", '{"files": {"a": 1}}'])
def test_broken_manifest(root, text):
    (root / DOMAIN / "manifest.json").write_text(text)
    name = f"{DOMAIN}/manifest.json"
    assert found(root) == [("error", name, "the manifest cannot be read")]


def circle_mask(disc=16.0, cup=7.0, side=64, center=(32, 32)):
    rows, columns = np.ogrid[:side, :side]
    distance = np.hypot(rows - center[0], columns - center[1])
    mask = np.full((side, side), 255, dtype=np.uint8)
    mask[distance <= disc] = 128
    mask[distance <= cup] = 0
    return mask


def stray_parts():
    mask = circle_mask()
    mask[2, 2] = 128
    return mask


def open_cup():
    mask = circle_mask(cup=15)
    mask[:, 40:] = np.where(mask[:, 40:] == 128, 255, mask[:, 40:])
    return mask


LABELS = np.array([2, 1, 0], dtype=np.uint8)[np.searchsorted([0, 128, 255], circle_mask())]
MASKS = {
    "right": (circle_mask(), []),
    "label map": (LABELS, [("error", "the mask is a label map, not grey levels")]),
    "all zero": (LABELS * 0, [("error", "the mask is a label map, not grey levels")]),
    "inverted": (
        255 - circle_mask(),
        [("error", "the mask is inverted: its corners are disc")],
    ),
    "smooth": (
        np.where(circle_mask() == 128, np.uint8(127), circle_mask()),
        [("warning", "the mask has levels besides 0, 128 and 255, all taken for rim")],
    ),
    "no disc": (np.full((64, 64), 255, np.uint8), [("error", "the mask has no disc")]),
    "no cup": (circle_mask(cup=-1), [("warning", "the mask has no cup")]),
    "all cup": (circle_mask(cup=16), [("warning", "the whole disc is cup")]),
    "at the border": (
        circle_mask(center=(14, 32)),
        [("warning", "the disc touches the border of the image")],
    ),
    "two parts": (stray_parts(), [("warning", "the disc has several parts")]),
    "open cup": (open_cup(), [("warning", "the cup touches the background")]),
    "tiny": (
        circle_mask(disc=1, cup=0),
        [("warning", "the disc's share of the image is implausible")],
    ),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks(name):
    mask, expected = MASKS[name]
    assert [(severity, what) for severity, what, _, _ in check_grey_mask(mask)] == expected


def test_mask_details():
    ((_, _, _, detail),) = check_grey_mask(stray_parts())
    area = (circle_mask() < 255).sum()
    assert detail == f"{area} + 1 pixels"


def test_wrong_mask_in_a_folder(root):
    Image.fromarray(pixels(root / MASK) // 127).save(root / MASK)
    assert found(root) == [("error", MASK, "the mask is a label map, not grey levels")]


def test_colored_mask(root):
    Image.open(root / IMAGE).save(root / MASK)
    assert found(root) == [("error", MASK, "the mask cannot be read")]


def test_hashes_within_and_across_blocks(monkeypatch):
    monkeypatch.setattr("grata_monai.preparation.duplicates._BLOCK", 2)
    generator = np.random.default_rng(0)
    hashes = [generator.bytes(32) for _ in range(5)]
    near = bytearray(hashes[0])
    near[3] ^= 0b101
    assert list(same_pictures([*hashes, bytes(near)])) == [(0, 5, 2)]


def test_report_names_everything(root, tmp_path):
    (root / IMAGE).unlink()
    shutil.copy(root / MASK, root / DOMAIN / "stray.png")
    report = verify(root)
    report.write(tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text())
    assert (content["errors"], content["warnings"]) == (1, 1)
    assert content["findings"][0] == {
        "severity": "error",
        "domain": DOMAIN,
        "file": IMAGE,
        "what": "the file is missing",
        "detail": f"{TRAIN}, line 2",
        "cure": "Move it there, or correct the row.",
    }
    assert content["domains"][0]["errors"] == 1
    text = report.describe()
    assert text.index("Errors: 1") < text.index(IMAGE) < text.index("Warnings: 1")


def test_same_findings_in_several_processes(root):
    Image.new("RGB", (SIDE, SIDE)).save(root / IMAGE)
    report = verify_folder(root, jobs=2, progress=False)
    assert report.findings == verify(root).findings


def test_no_lists_and_no_folder(tmp_path):
    with pytest.raises(ValueError, match="has no lists such as"):
        verify(tmp_path)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        verify(tmp_path / "missing")


def test_unknown_domain(root):
    with pytest.raises(ValueError, match="Did you mean 'Synthetic_A'"):
        verify(root, domains=["synthetic_a"])


@pytest.mark.real
def test_real_regions_have_no_errors_and_no_duplicates(real_data):
    report = verify_folder(real_data / "Fundus", progress=False)
    assert report.errors == []
    assert {(p.file, p.what, p.detail) for p in report.warnings} == {
        ("REFUGE", "the domain is partial", "160 of 400"),
        (
            "Drishti_GS/train/mask/gdrishtiGS_032.png",
            "the disc touches the border of the image",
            "",
        ),
        ("Drishti_GS/test/mask/gdrishtiGS_005.png", "the disc touches the border of the image", ""),
        (
            "REFUGE/test/mask/g0018.png",
            "the cup touches the background",
            "233 pixels, 31% of its outline",
        ),
    }


@pytest.mark.real
def test_real_images_are_recognized_when_saved_anew(real_data, tmp_path):
    for path in sorted((real_data / "Fundus").glob("*/*/image/*.png"))[::13]:
        image = Image.open(path)
        image.resize((256, 256)).save(tmp_path / "small.jpg", quality=75)
        hashes = [picture_hash(image), picture_hash(Image.open(tmp_path / "small.jpg"))]
        assert [distance <= SAME_PICTURE // 2 for *_, distance in same_pictures(hashes)] == [True]
