# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Two folders of the same eyes, framed differently on purpose: the shift must come back."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grata_monai.data import fundus_datalist, paint_fundus
from grata_monai.imaging import Window, disc_center, encode_mask, write_png
from grata_monai.preparation.alignment import SAME_EYE, Alignment, align
from grata_monai.preparation.compare import compare_folders
from grata_monai.preparation.folder import ListedImage
from grata_monai.preparation.pairing import dice, eye_key

SIDE = 192


@pytest.fixture(scope="session")
def eyes():
    """Photographs with masks that crops are cut from; what they share is known by the cut."""
    return {f"eye{n}": paint_fundus("Synthetic_B", seed=n, size=SIDE) for n in range(3)}


def write(root, eyes, windows, *, domain="D", stored=None, masks=True, split=""):
    """Write crops as a domain."""
    rows = []
    for name, window in windows.items():
        image, mask = (
            Image.fromarray(window.cut(pixels, fill))
            for pixels, fill in zip(eyes[name.lower()], (0, 255), strict=True)
        )
        if stored:
            image = image.resize((stored, stored), Image.Resampling.BICUBIC)
            mask = mask.resize((stored, stored), Image.Resampling.NEAREST)
        cells = [f"{domain}/{part}/{name}.png" for part in ("image", "mask")]
        write_png(np.asarray(image), root / cells[0])
        if masks:
            write_png(np.asarray(mask), root / cells[1])
        rows.append((cells[0], cells[1] if masks else ""))
    path = root / (f"{domain}_{split}.csv" if split else f"{domain}.csv")
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "mask"), *rows])
    return root


def framed(eyes, top, left, side=144):
    return dict.fromkeys(eyes, Window(top, left, side, side))


def compare(first, second, **options):
    return compare_folders(first, second, jobs=1, progress=False, **options)


@pytest.fixture
def ours(eyes, tmp_path):
    return write(tmp_path / "ours", eyes, framed(eyes, 20, 24))


def test_a_folder_against_itself(ours):
    found = compare(ours, ours)
    assert (found.rows["disc_dice"] == 1).all()
    assert (found.rows["cup_dice"] == 1).all()
    assert (found.rows["shift"] == 0).all()
    assert (found.rows["grey_difference"] == 0).all()
    assert found.notes == ()
    assert list(found.problems(max_shift=0)) == []


def test_shifted_framing(ours, eyes, tmp_path):
    """The second crops begin 21 rows lower and 15 columns further left."""
    found = compare(ours, write(tmp_path / "theirs", eyes, framed(eyes, 41, 9)))
    assert (found.rows["shift_rows"] == 21).all()
    assert (found.rows["shift_cols"] == -15).all()
    assert np.allclose(found.rows["shift"], math.hypot(21, 15))
    assert (found.rows["common_height"] == 144 - 21).all()
    assert (found.rows["common_width"] == 144 - 15).all()
    assert (found.rows["disc_dice"] == 1).all()
    assert (found.rows["grey_difference"] == 0).all()
    (problem, *_) = found.problems(max_shift=25)
    assert problem.detail == "+21 rows, -15 columns"
    assert list(found.problems(max_shift=26)) == []


def test_smaller_regions_inside_larger_ones(ours, eyes, tmp_path):
    """Centers differ by (+6, -4): 20 + 72 against 48 + 50, 24 + 72 against 42 + 50."""
    found = compare(ours, write(tmp_path / "theirs", eyes, framed(eyes, 48, 42, side=100)))
    assert (found.rows["shift_rows"] == 6).all()
    assert (found.rows["shift_cols"] == -4).all()
    assert (found.rows["disc_dice"] == 1).all()
    (note, _) = found.notes
    assert "a stored pixel is taken for one of the photograph" in note


def test_scale_by_option(ours, eyes, tmp_path):
    theirs = write(tmp_path / "theirs", eyes, framed(eyes, 30, 30), stored=96)
    found = compare(ours, theirs, roi_size=144, other_roi_size=144)
    assert (found.rows["status"] == "ok").all()
    assert (found.rows["shift_rows"] == 10).all()
    assert (found.rows["shift_cols"] == 6).all()
    assert (found.rows["disc_dice"] > 0.96).all()
    assert found.notes == ()


def test_scale_by_roi_table(ours, eyes, tmp_path):
    theirs = write(tmp_path / "theirs", eyes, framed(eyes, 30, 30), stored=96)
    table = theirs / "D" / "roi.csv"
    rows = "".join(f"D/image/{name}.png,144,144,centroid\n" for name in eyes)
    table.write_text(f"image,roi_height,roi_width,center_from\n{rows}")
    found = compare(ours, theirs)
    assert (found.rows["shift_rows"] == 10).all()
    (note,) = found.notes
    assert str(ours) in note
    # a region that was imported whole: its scale in the photograph is not known
    table.write_text(table.read_text().replace("centroid", "whole"))
    assert set(compare(ours, theirs).rows["status"]) == {"not the same picture"}


def test_broken_roi_table(ours):
    (ours / "D" / "roi.csv").write_text("image\n")
    with pytest.raises(ValueError, match=r"is not a roi\.csv"):
        compare(ours, ours)


def test_wrong_scale_is_not_compared(ours, eyes, tmp_path):
    theirs = write(tmp_path / "theirs", eyes, framed(eyes, 30, 30), stored=96)
    found = compare(ours, theirs)
    assert set(found.rows["status"]) == {"not the same picture"}
    assert found.rows["disc_dice"].isna().all()
    assert len(list(found.problems())) == 3


def test_other_masks(ours, eyes, tmp_path):
    """Moving a mask by hand: the Dice is the one of the two regions."""
    theirs = write(tmp_path / "theirs", eyes, framed(eyes, 20, 24))
    path = theirs / "D" / "mask" / "eye1.png"
    mask = np.array(Image.open(path))
    moved = np.roll(mask, 8, axis=0)
    write_png(moved, path)
    rows = compare(ours, theirs).rows.set_index("eye")
    one, other = mask < 255, moved < 255
    expected = 2 * (one & other).sum() / (one.sum() + other.sum())
    assert rows.loc["eye1", "disc_dice"] == pytest.approx(expected)
    assert rows.loc["eye0", "disc_dice"] == 1
    (problem,) = compare(ours, theirs).problems()
    assert problem.file == "D: eye1"
    assert problem.what == "a Dice is below 0.99"
    assert list(compare(ours, theirs).problems(min_dice=0.1)) == []


def test_other_pictures_of_the_same_names(ours, eyes, tmp_path):
    other = {name: paint_fundus("Synthetic_B", seed=50, size=SIDE) for name in eyes}
    found = compare(ours, write(tmp_path / "theirs", other, framed(eyes, 20, 24)))
    assert set(found.rows["status"]) == {"not the same picture"}


def test_broken_file(ours, eyes, tmp_path):
    theirs = write(tmp_path / "theirs", eyes, framed(eyes, 20, 24))
    (theirs / "D" / "image" / "eye2.png").write_bytes(b"no image")
    found = compare(ours, theirs)
    assert found.rows.set_index("eye")["status"].to_dict() == {
        "eye0": "ok",
        "eye1": "ok",
        "eye2": "a file cannot be read",
    }
    assert [problem.file for problem in found.problems()] == ["D: eye2"]


def test_masks_on_one_side_and_on_none(ours, eyes, tmp_path):
    bare = write(tmp_path / "bare", eyes, framed(eyes, 20, 24), masks=False)
    assert set(compare(ours, bare).rows["status"]) == {"a mask on one side only"}
    assert len(list(compare(ours, bare).problems())) == 3
    neither = compare(bare, bare)
    assert set(neither.rows["status"]) == {"no masks"}
    assert list(neither.problems()) == []


def test_unmatched_and_splits_and_prefixes(ours, eyes, tmp_path):
    window = Window(20, 24, 144, 144)
    theirs = write(tmp_path / "theirs", eyes, {"EYE1": window}, split="train")
    write(tmp_path / "theirs", {"eye9": eyes["eye2"]}, {"eye9": window}, split="test")
    found = compare(ours, theirs)
    assert found.unmatched == {"D": (("eye0", "eye2"), ("eye9",))}
    row = found.table().iloc[0]
    assert (row["pairs"], row["only_first"], row["only_second"]) == (1, 2, 1)
    assert row["disc_min"] == 1


def test_names_twice(ours, eyes, tmp_path):
    window = Window(20, 24, 144, 144)
    theirs = write(tmp_path / "theirs", eyes, {"eye1": window, "EYE1": window})
    found = compare(ours, theirs)
    assert len(found.rows) == 1
    assert "only the first is compared" in found.notes[0]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("D/train/image/gdrishtiGS_002.png", "drishtigs_002"),
        ("D/ndrishtiGS_047.PNG", "drishtigs_047"),
        ("drishtiGS_001.png", "drishtigs_001"),
        ("g0003.png", "g0003"),
        ("N-83-L.png", "n-83-l"),
        ("D\\image\\T0108.png", "t0108"),
    ],
)
def test_keys(name, key):
    image = ListedImage(root=Path("r"), domain="D", split="", line=2, image=name, mask="")
    assert eye_key(image) == key


def test_nothing_in_common(ours, eyes, tmp_path):
    other = write(tmp_path / "theirs", eyes, framed(eyes, 0, 0), domain="E")
    with pytest.raises(ValueError, match="no domain in common"):
        compare(ours, other)
    renamed = {"x": eyes["eye0"]}
    with pytest.raises(ValueError, match="no eye in common in D"):
        compare(ours, write(tmp_path / "x", renamed, framed(renamed, 0, 0)))
    with pytest.raises(ValueError, match="has no domain 'F'"):
        compare(ours, ours, domains=["F"])


def test_dice_of_empty_masks():
    empty, full = np.zeros(4, bool), np.ones(4, bool)
    assert dice(empty, empty) == 1
    assert dice(empty, full) == 0


def test_search_finds_what_phase_correlation_misses(eyes, monkeypatch):
    """Without its first guess the alignment has to come from the template search."""
    grey = np.asarray(Image.fromarray(eyes["eye0"][0]).convert("L"), dtype=np.float32)
    monkeypatch.setattr("grata_monai.preparation.alignment.centered", lambda *_: (150, 150))
    found = align(grey[:160, :160], grey[20:180, 10:170])
    assert found.offset == (20, 10)
    assert found.is_same_eye


def test_flat_images_are_not_the_same_eye():
    flat = np.full((64, 64), 100, dtype=np.float32)
    assert not align(flat, flat).is_same_eye
    assert Alignment((0, 0), SAME_EYE).is_same_eye


@pytest.mark.real
def test_regions_of_the_photographs_against_the_published_ones(real_data, tmp_path):
    """800-pixel regions of the raw photographs hold the 512-pixel ones, masks included."""
    eyes = {}
    for path in sorted((real_data / "raw").glob("**/Images/*.png")):
        soft = [
            np.asarray(Image.open(next((real_data / "raw").glob(f"**/{path.stem}_{part}.png"))))
            for part in ("ODsegSoftmap", "cupsegSoftmap")
        ]
        mask = encode_mask(np.stack(soft) == 255)
        eyes[path.stem.lower()] = (np.asarray(Image.open(path)), mask)
    windows = {name: Window.around(disc_center(mask), 800) for name, (_, mask) in eyes.items()}
    ours = write(tmp_path / "ours", eyes, windows, domain="Drishti_GS")
    found = compare(ours, real_data / "Fundus")
    assert len(found.rows) == 4
    assert (found.rows[["disc_dice", "cup_dice"]] == 1).all(axis=None)
    assert (found.rows["grey_difference"] == 0).all()
    assert found.rows["shift"].max() < 20


@pytest.mark.real
def test_shifted_real_regions(real_data, tmp_path):
    items = fundus_datalist(real_data / "Fundus", domain="Drishti_GS")[::8]
    eyes = {
        Path(item["image"]).stem.lower(): tuple(
            np.asarray(Image.open(item[part])) for part in ("image", "label")
        )
        for item in items
    }
    generator = np.random.default_rng(0)
    starts = {name: generator.integers(0, 100, 2).tolist() for name in eyes}
    windows = {name: Window(*start, 412, 412) for name, start in starts.items()}
    ours = write(tmp_path / "ours", eyes, windows, domain="Drishti_GS")
    rows = compare(ours, real_data / "Fundus").rows
    for row, start in zip(rows.itertuples(), starts.values(), strict=True):
        # the centers of crop and region are 206 + start and 256
        assert [row.shift_rows, row.shift_cols] == [50 - start[0], 50 - start[1]]
    assert (rows[["disc_dice", "cup_dice"]] == 1).all(axis=None)
