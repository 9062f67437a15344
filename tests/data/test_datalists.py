# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Datalists of every kind of source, in order, and errors that name file, row and cure."""

from __future__ import annotations

import logging
import os

import pytest
from PIL import Image

from grata_monai.data import fundus_datalist, has_labels, split_datalist, usable_items


def picture(path, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (8, 6), 200 if mode == "L" else (200, 100, 50)).save(path)
    return path


def write_list(path, *lines, header="image,mask", encoding="utf-8"):
    path.write_text("\n".join([header, *lines]) + "\n", encoding=encoding)
    return path


@pytest.fixture
def root(tmp_path):
    """Two domains: REFUGE with both splits (names not sorted), REFUGE_Valid with one list."""
    for domain, split, names in (
        ("REFUGE", "train", ("n2", "g1")),
        ("REFUGE", "test", ("n10",)),
        ("REFUGE_Valid", "", ("V1",)),
    ):
        base = "/".join(filter(None, (domain, split)))
        rows = []
        for name in names:
            picture(tmp_path / base / "image" / f"{name}.png")
            picture(tmp_path / base / "mask" / f"{name}.png", "L")
            rows.append(f"{base}/image/{name}.png,{base}/mask/{name}.png")
        write_list(tmp_path / f"{'_'.join(filter(None, (domain, split)))}.csv", *rows)
    return tmp_path


def stems(items, key="image"):
    return [os.path.splitext(os.path.basename(item[key]))[0] for item in items]


def test_domain_is_read_train_then_test_in_the_order_of_the_lists(root):
    items = fundus_datalist(root, domain="REFUGE")
    assert items[0] == {
        "image": str(root / "REFUGE" / "train" / "image" / "n2.png"),
        "label": str(root / "REFUGE" / "train" / "mask" / "n2.png"),
    }
    assert stems(items) == stems(items, "label") == ["n2", "g1", "n10"]
    assert stems(fundus_datalist(root, domain="REFUGE", split="train")) == ["n2", "g1"]
    assert stems(fundus_datalist(root, domain="REFUGE", split="test")) == ["n10"]


def test_domain_with_one_list(root):
    assert stems(fundus_datalist(str(root), domain="REFUGE_Valid")) == ["V1"]
    with pytest.raises(ValueError, match=r"one list without splits .* Got 'test'"):
        fundus_datalist(root, domain="REFUGE_Valid", split="test")


def test_only_domain_needs_no_name(root):
    (root / "REFUGE_Valid.csv").unlink()
    (root / "trace.csv").write_text("image,cosine\nn2.png,0.5\n")  # results are no list
    assert stems(fundus_datalist(root)) == ["n2", "g1", "n10"]


def test_several_domains_need_a_name(root):
    with pytest.raises(ValueError, match=r"several domains: REFUGE, REFUGE_Valid\. Choose one"):
        fundus_datalist(root)


def test_wrong_domain_suggests_the_closest(root):
    with pytest.raises(ValueError, match=r"no domain 'REFUGE_valid'.*Did you mean 'REFUGE_Valid'"):
        fundus_datalist(root, domain="REFUGE_valid")
    with pytest.raises(ValueError, match=r"no domain 'ORIGA'. It has: REFUGE, REFUGE_Valid\.$"):
        fundus_datalist(root, domain="ORIGA")


def test_domain_of_a_folder_without_lists(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"no list of the domain 'ORIGA': neither ORIGA_train.csv"):
        fundus_datalist(tmp_path, domain="ORIGA")
    with pytest.raises(ValueError, match=r"'split' parameter .* needs a folder with CSV lists"):
        fundus_datalist(tmp_path, split="test")


def test_missing_split_is_named(root):
    (root / "REFUGE_test.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no REFUGE_test\.csv.* that is there: train"):
        fundus_datalist(root, domain="REFUGE")
    assert len(fundus_datalist(root, domain="REFUGE", split="train")) == 2
    with pytest.raises(ValueError, match=r"'split' parameter .* Got 'tran'; did you mean 'train'"):
        fundus_datalist(root, domain="REFUGE", split="tran")


def test_list_with_absolute_paths_byte_order_mark_spaces_and_disc_centers(tmp_path):
    far = picture(tmp_path / "elsewhere" / "x.jpg")
    picture(tmp_path / "lists" / "ä 1.png")
    path = write_list(
        tmp_path / "lists" / "mine.csv",
        f"{far},,4.5,3",
        "",
        " ä 1.png ,,,",
        header="Image, mask,center_row,center_col",
        encoding="utf-8-sig",
    )
    assert fundus_datalist(path) == [
        {"image": str(far), "disc_center": (4.5, 3.0)},
        {"image": str(tmp_path / "lists" / "ä 1.png")},
    ]


def test_list_without_masks_and_rows_that_share_an_image(tmp_path):
    picture(tmp_path / "a.png")
    path = write_list(tmp_path / "l.csv", "a.png", "a.png", header="image")
    assert fundus_datalist(path) == [{"image": str(tmp_path / "a.png")}] * 2
    with pytest.raises(ValueError, match=r"'domain' parameter .* needs a folder with CSV lists"):
        fundus_datalist(path, domain="REFUGE")


def test_relative_source_gives_absolute_paths(tmp_path, monkeypatch):
    picture(tmp_path / "sub" / "a.png")
    write_list(tmp_path / "sub" / "l.csv", r"..\sub\a.png", header="image")
    monkeypatch.chdir(tmp_path)
    for source in ("sub/l.csv", "sub/a.png"):
        assert fundus_datalist(source) == [{"image": str(tmp_path / "sub" / "a.png")}]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("file,mask\na.png,m.png\n", ValueError, r"no column 'image'.*Found: 'file', 'mask'"),
        ("", ValueError, r"no column 'image'.*Found: nothing"),
        ("image,mask\n", ValueError, r"lists no images: it has a header but no rows"),
        (
            "image,mask\na.png,\n,a.png\n",
            ValueError,
            r"l\.csv, line 3: the column 'image' is empty",
        ),
        (
            "image\na.png\nb.png\n",
            FileNotFoundError,
            r"l\.csv, line 3: the image 'b\.png' does not",
        ),
        (
            "image,mask\na.png,m.png\n",
            FileNotFoundError,
            r"line 2: the mask 'm\.png' does not exist",
        ),
        ("image,center_row,center_col\na.png,4,\n", ValueError, r"line 2.*Got '' in 'center_col'"),
        (
            "image,center_row,center_col\na.png,x,4\n",
            ValueError,
            r"line 2.*Got 'x' in 'center_row'",
        ),
        ("image,center_row,center_col\na.png,nan,4\n", ValueError, r"Got 'nan' in 'center_row'"),
        (
            "image,center_row\na.png,4\n",
            ValueError,
            r"a number in both 'center_row' and 'center_col'",
        ),
    ],
)
def test_list_errors_name_the_file_and_the_row(tmp_path, content, error, message):
    picture(tmp_path / "a.png")
    (tmp_path / "l.csv").write_text(content)
    with pytest.raises(error, match=message):
        fundus_datalist(tmp_path / "l.csv")


def test_list_that_is_not_text(tmp_path):
    (tmp_path / "l.csv").write_bytes(b"image\n\xff\xfe.png\n")
    with pytest.raises(ValueError, match=r"l\.csv is not a CSV file in UTF-8"):
        fundus_datalist(tmp_path / "l.csv")


def test_broken_list_of_a_domain_is_not_passed_over(root):
    (root / "REFUGE_test.csv").write_bytes(b"")
    with pytest.raises(ValueError, match=r"REFUGE_test\.csv has no column 'image'"):
        fundus_datalist(root, domain="REFUGE")


def test_folder_is_searched_in_natural_order(tmp_path):
    names = ("10.png", "9.PNG", "b/2.tif", "B/1.JPG", "c.jpeg", "d.bmp", "e.tiff")
    for name in names:
        picture(tmp_path / name)
    for hidden in (".x.png", "._9.png", ".cache/y.png", "__MACOSX/z.png", "masks/m.png"):
        picture(tmp_path / hidden)
    (tmp_path / "notes.txt").write_text("no image")
    items = fundus_datalist(tmp_path)
    found = [os.path.relpath(item["image"], tmp_path) for item in items]
    assert found == ["9.PNG", "10.png", "B/1.JPG", "b/2.tif", "c.jpeg", "d.bmp", "e.tiff"]
    assert not has_labels(items)


def test_folder_with_image_and_mask_folders_is_paired_by_stem(tmp_path):
    picture(tmp_path / "image" / "p2.jpg")
    picture(tmp_path / "image" / "p10.jpg")
    picture(tmp_path / "mask" / "p10.png", "L")
    picture(tmp_path / "mask" / "p2.bmp", "L")
    picture(tmp_path / "overlay" / "p2.png")
    items = fundus_datalist(tmp_path)
    assert stems(items) == stems(items, "label") == ["p2", "p10"]
    assert has_labels(items)


def test_nested_image_and_mask_folders_are_paired_split_by_split(tmp_path):
    for split in ("train", "test"):
        picture(tmp_path / split / "images" / "deep" / "7.png")
        picture(tmp_path / split / "Masks" / "deep" / "7.png", "L")
    items = fundus_datalist(tmp_path)
    assert [item["label"] for item in items] == [
        str(tmp_path / split / "Masks" / "deep" / "7.png") for split in ("test", "train")
    ]


def test_one_image(tmp_path):
    path = picture(tmp_path / "photo.TIF")
    assert fundus_datalist(path) == [{"image": str(path)}]


def test_sources_that_are_none(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(FileNotFoundError, match=r"nothing-here does not exist\. Give a folder"):
        fundus_datalist(tmp_path / "nothing-here")
    with pytest.raises(ValueError, match=r"holds no images \(\.bmp, .*\) and no CSV list"):
        fundus_datalist(tmp_path)
    with pytest.raises(ValueError, match=r"notes\.txt is neither a CSV list nor an image"):
        fundus_datalist(tmp_path / "notes.txt")


def broken(path, kind):
    """Write an image of which only the first half is there, or something else entirely."""
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is not an image")
    else:
        Image.effect_noise((64, 64), 50).save(path)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("b.png", "half"),
        ("b.jpg", "half"),
        ("b.tif", "half"),
        ("b.bmp", "half"),
        ("b.png", "empty"),
        ("b.jpg", "text"),
    ],
)
def test_broken_image_is_dropped_with_one_warning(tmp_path, caplog, name, kind):
    picture(tmp_path / "a.png")
    broken(tmp_path / name, kind)
    with caplog.at_level(logging.WARNING, "grata_monai"):
        items = fundus_datalist(tmp_path)
    assert stems(items) == ["a"]
    assert [name in record.getMessage() for record in caplog.records] == [True]
    assert len(fundus_datalist(tmp_path, check=False)) == 2


def test_broken_image_of_two_rows_is_warned_of_once(tmp_path, caplog):
    picture(tmp_path / "a.png")
    broken(tmp_path / "b.png", "half")
    path = write_list(tmp_path / "l.csv", "b.png", "a.png", "b.png", header="image")
    assert stems(fundus_datalist(path)) == ["a"]
    assert len(caplog.records) == 1


def test_row_with_a_broken_mask_is_dropped(tmp_path, caplog):
    for name in ("a", "b"):
        picture(tmp_path / "image" / f"{name}.png")
        picture(tmp_path / "mask" / f"{name}.png", "L")
    broken(tmp_path / "mask" / "b.png", "half")
    items = fundus_datalist(tmp_path)
    assert stems(items) == ["a"]
    assert has_labels(items)
    assert "mask/b.png cannot be read" in caplog.text


def test_row_whose_mask_has_another_size_is_dropped(tmp_path, caplog):
    for name in ("a", "b"):
        picture(tmp_path / "image" / f"{name}.png")
        picture(tmp_path / "mask" / f"{name}.png", "L")
    Image.new("L", (6, 8)).save(tmp_path / "mask" / "b.png")
    assert stems(fundus_datalist(tmp_path)) == ["a"]
    assert "b.png and its mask differ in size (8x6 and 6x8); its row is left out" in caplog.text


def test_all_broken_is_an_error(tmp_path):
    broken(tmp_path / "b.png", "empty")
    with pytest.raises(ValueError, match=r"None of the 1 images can be used; the first: .*b\.png"):
        fundus_datalist(tmp_path)


def test_masks_of_some_images_only_are_left_aside(tmp_path, caplog):
    picture(tmp_path / "image" / "a.png")
    picture(tmp_path / "image" / "b.png")
    picture(tmp_path / "mask" / "b.png", "L")
    items = fundus_datalist(tmp_path)
    assert items == [{"image": str(tmp_path / "image" / f"{name}.png")} for name in "ab"]
    assert "1 of the 2 images" in caplog.text


def test_has_labels():
    with_label, without = {"image": "a", "label": "b"}, {"image": "c"}
    assert has_labels([with_label, with_label])
    assert not has_labels([with_label, without])
    assert not has_labels([])


ITEMS = [{"image": f"{number}.png"} for number in range(20)]


def test_split_is_deterministic_complete_and_in_order():
    training, validation = split_datalist(ITEMS, validation_share=0.25, seed=3)
    assert (training, validation) == split_datalist(ITEMS, validation_share=0.25, seed=3)
    assert len(validation) == 5
    assert sorted(training + validation, key=ITEMS.index) == ITEMS
    assert training == sorted(training, key=ITEMS.index)
    assert validation == sorted(validation, key=ITEMS.index)
    assert validation != split_datalist(ITEMS, validation_share=0.25, seed=4)[1]


def test_split_keeps_rows_of_one_image_together():
    items = [{"image": f"{number // 4}.png", "label": f"{number}.png"} for number in range(16)]
    for seed in range(5):
        training, validation = split_datalist(items, validation_share=0.5, seed=seed)
        assert len(training) == len(validation) == 8
        assert not {item["image"] for item in training} & {item["image"] for item in validation}


@pytest.mark.parametrize(("share", "count"), [(0.0, 1), (0.01, 1), (0.99, 19), (1.0, 19)])
def test_split_gives_both_parts_an_image(share, count):
    assert len(split_datalist(ITEMS, validation_share=share)[1]) == count


def test_split_refuses_what_cannot_be_split():
    with pytest.raises(ValueError, match=r"at least two different images.*Got 1"):
        split_datalist([ITEMS[0], ITEMS[0]])
    with pytest.raises(ValueError, match=r"'validation_share' parameter .* Got 1.5"):
        split_datalist(ITEMS, validation_share=1.5)


def test_what_decodes_and_yet_is_no_photograph_or_mask_is_dropped(tmp_path, caplog):
    for name in ("a", "b", "c"):
        picture(tmp_path / "image" / f"{name}.tif")
        picture(tmp_path / "mask" / f"{name}.png", "L")
    Image.new("F", (8, 6)).save(tmp_path / "image" / "b.tif")
    picture(tmp_path / "mask" / "c.png")
    kept, reasons = usable_items(fundus_datalist(tmp_path, check=False))
    assert stems(kept) == ["a"]
    assert [os.path.basename(image) for image in reasons] == ["b.tif", "c.tif"]
    assert "floating-point" in reasons[str(tmp_path / "image" / "b.tif")]
    assert "it has colors" in reasons[str(tmp_path / "image" / "c.tif")]
    assert len(caplog.records) == 2


def test_disc_center_outside_its_image_is_dropped(tmp_path, caplog):
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
    path = write_list(
        tmp_path / "l.csv", "a.png,5,7", "b.png,7,5", header="image,center_row,center_col"
    )
    assert stems(fundus_datalist(path)) == ["a"]
    assert "disc center (7, 5) lies outside" in caplog.text


def test_predictions_of_an_earlier_run_are_no_images(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "out" / "predictions" / "a_overlay.png")
    assert stems(fundus_datalist(tmp_path)) == ["a", "a_overlay"]
    (tmp_path / "out" / "trace.csv").write_text("index,image\n")
    (tmp_path / "out" / "skipped.csv").write_text("skipped_image,reason\n")
    assert stems(fundus_datalist(tmp_path)) == ["a"]
