# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Preparing as a whole: what is written, bad input, stopping and going on."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from grata_monai.data import fundus_datalist
from grata_monai.imaging import encode_mask, turn_back
from grata_monai.preparation import (
    DrishtiGS,
    Generic,
    PrepareOptions,
    RegionOptions,
    paste_folder,
    prepare,
    read_placements,
)
from grata_monai.preparation import pipeline as module
from grata_monai.preparation.problems import Problem
from tests.imaging.test_dicom import write_dicom
from tests.preparation.conftest import Drishti, disc_and_cup, photograph, save

REGION = RegionOptions(roi_size=48)
PARTIAL = PrepareOptions(jobs=1, allow_partial=True, progress=False)
STRICT = replace(PARTIAL, allow_partial=False)
MISSING = "neither photograph nor mask was found"


def run(drishti, out, options=PARTIAL, region=REGION, dataset=None, **extra):
    dataset = DrishtiGS() if dataset is None else dataset
    return prepare(dataset, [drishti.root], out, region=region, options=options, **extra)


def own_problems(outcome):
    return [problem for problem in outcome.problems if problem.what != MISSING]


def snapshot(folder):
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_layout_order_and_pixels(drishti, tmp_path):
    out = tmp_path / "Fundus"
    outcome = run(drishti, out)
    assert outcome.complete
    assert len(outcome.problems) == 97
    for split, numbers in (("train", (2, 4)), ("test", (1, 3))):
        names = [f"drishtiGS_{number:03d}" for number in numbers]
        lines = (out / f"Drishti_GS_{split}.csv").read_text().splitlines()
        assert lines == [
            "image,mask",
            *(f"Drishti_GS/{split}/image/{n}.png,Drishti_GS/{split}/mask/{n}.png" for n in names),
        ]
    items = fundus_datalist(out)
    assert [os.path.basename(item["image"])[-7:-4] for item in items] == [
        "002",
        "004",
        "001",
        "003",
    ]
    for number, item in zip((2, 4, 1, 3), items, strict=True):
        disc, cup = disc_and_cup(number)
        row, column = (int(places.mean()) for places in np.nonzero(disc))
        window = np.s_[row - 24 : row + 24, column - 24 : column + 24]
        assert np.array_equal(np.asarray(Image.open(item["image"])), photograph(number)[window])
        expected = encode_mask(np.stack([disc, cup]))[window]
        assert np.array_equal(np.asarray(Image.open(item["label"])), expected)


def test_sidecar_and_manifest(drishti, tmp_path):
    out = tmp_path / "Fundus"
    outcome = run(drishti, out, region=RegionOptions(roi_size=48, size=32, border="shift"))
    table = pd.read_csv(out / "Drishti_GS" / "roi.csv", index_col="name")
    row = table.loc["drishtiGS_003"]
    disc = disc_and_cup(3)[0]
    assert (row["native_height"], row["native_width"]) == disc.shape
    assert (row["center_row"], row["center_col"]) == (43, 53)
    assert (row["top"], row["left"], row["roi_height"], row["height"]) == (19, 29, 48, 32)
    assert row["source"] == "Test/Images/drishtiGS_003.png"
    assert (row["center_from"], row["border"]) == ("centroid", "shift")
    assert row["disc_px"] == pytest.approx(disc.sum() * (32 / 48) ** 2, rel=0.03)
    manifest = json.loads((out / "Drishti_GS" / "manifest.json").read_text())
    assert manifest["counts"] == {"images": 4, "train": 2, "test": 2}
    assert "redistribute" in manifest["terms"]
    assert manifest["settings"]["choices"] == {"agreement": 4, "size_mismatch": "resize"}
    assert manifest["settings"]["region"]["size"] == 32
    assert len(manifest["files"]) == 8
    assert manifest["files"] == {k: v for r in outcome.records for k, v in r.files.items()}
    assert len(manifest["left_out"]) == 97
    assert len(pd.read_csv(out / "Drishti_GS" / "problems.csv")) == 97


def test_again_changes_nothing(drishti, tmp_path):
    out = tmp_path / "Fundus"
    run(drishti, out)
    before = snapshot(out)
    outcome = run(drishti, out)
    assert (outcome.reused, outcome.complete) == (4, True)
    after = snapshot(out)
    # problems.csv is rewritten with the same content
    assert {k: v[0] for k, v in after.items()} == {k: v[0] for k, v in before.items()}
    changed = [name for name in before if before[name] != after[name]]
    assert changed in ([], ["Drishti_GS/problems.csv"])


def test_same_bytes_with_several_processes(drishti, tmp_path):
    run(drishti, tmp_path / "one")
    run(drishti, tmp_path / "two", replace(PARTIAL, jobs=2))
    one, two = snapshot(tmp_path / "one"), snapshot(tmp_path / "two")
    assert {k: v[0] for k, v in one.items()} == {k: v[0] for k, v in two.items()}


def test_dry_run_writes_nothing_and_finds_the_same(drishti, tmp_path):
    drishti.mask(3, "OD").unlink()
    outcome = run(drishti, tmp_path / "Fundus", replace(PARTIAL, dry_run=True))
    assert not (tmp_path / "Fundus").exists()
    assert len(outcome.records) == 3
    assert outcome.complete
    wet = run(drishti, tmp_path / "Fundus")
    assert [str(problem) for problem in wet.problems] == [str(p) for p in outcome.problems]


def test_without_allow_partial_there_are_no_lists_but_nothing_is_lost(drishti, tmp_path):
    out = tmp_path / "Fundus"
    outcome = run(drishti, out, STRICT)
    assert not outcome.complete
    assert not list(out.glob("*.csv"))
    assert outcome.report == out / "Drishti_GS" / "problems.csv"
    assert len(list(out.rglob("image/*.png"))) == 4
    outcome = run(drishti, out)
    assert (outcome.reused, outcome.complete) == (4, True)


def stop_after(monkeypatch, count, error):
    """Let a run end like a killed process after so many images."""
    original = module.parallel_map

    def stopping(*args, **kwargs):
        for number, result in enumerate(original(*args, **kwargs)):
            if number == count:
                raise error
            yield result

    monkeypatch.setattr(module, "parallel_map", stopping)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
def test_stopped_run_goes_on(drishti, tmp_path, monkeypatch, error):
    run(drishti, tmp_path / "whole")
    out = tmp_path / "Fundus"
    with monkeypatch.context() as patch:
        stop_after(patch, 2, error)
        with pytest.raises(type(error) if isinstance(error, OSError) else error):
            run(drishti, out)
    assert not list(out.glob("*.csv"))
    assert not (out / "Drishti_GS" / "manifest.json").exists()
    outcome = run(drishti, out)
    assert (outcome.reused, outcome.complete) == (2, True)
    one, two = snapshot(out), snapshot(tmp_path / "whole")
    assert {k: v[0] for k, v in one.items()} == {k: v[0] for k, v in two.items()}


def test_damaged_files_and_a_cut_off_journal_are_done_again(drishti, tmp_path, monkeypatch):
    out = tmp_path / "Fundus"
    with monkeypatch.context() as patch:
        stop_after(patch, 3, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            run(drishti, out)
    image = out / "Drishti_GS/train/image/drishtiGS_002.png"
    image.write_bytes(image.read_bytes()[:100])
    journal = out / "Drishti_GS" / ".prepare.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    outcome = run(drishti, out)
    assert (outcome.reused, outcome.complete) == (1, True)
    assert np.asarray(Image.open(image)).shape == (48, 48, 3)
    assert not journal.exists()


def test_changed_source_is_done_again(drishti, tmp_path):
    out = tmp_path / "Fundus"
    run(drishti, out)
    save(photograph(99), drishti.image(4))
    outcome = run(drishti, out)
    assert outcome.reused == 3
    row, column = (int(p.mean()) for p in np.nonzero(disc_and_cup(4)[0]))
    pixels = np.asarray(Image.open(out / "Drishti_GS/train/image/drishtiGS_004.png"))
    assert np.array_equal(pixels, photograph(99)[row - 24 : row + 24, column - 24 : column + 24])


def test_a_part_of_the_download_does_not_remove_the_rest(drishti, tmp_path):
    out = tmp_path / "Fundus"
    run(drishti, out)
    before = snapshot(out)
    drishti.image(4).unlink()
    with pytest.raises(ValueError, match=r"has 1 images that are not in .* such as drishtiGS_004"):
        run(drishti, out)
    with pytest.raises(ValueError, match="drishtiGS_004"):
        run(drishti, out, replace(PARTIAL, dry_run=True))
    assert snapshot(out) == before
    run(drishti, out, replace(PARTIAL, force=True))
    assert len(list(out.rglob("*.png"))) == 6
    assert len(fundus_datalist(out)) == 3


def test_lists_that_do_not_belong_are_mended(drishti, tmp_path):
    out = tmp_path / "Fundus"
    run(drishti, out)
    before = (out / "Drishti_GS_train.csv").read_text()
    (out / "Drishti_GS_train.csv").write_text(before + "junk,junk\n")
    (out / "Drishti_GS.csv").write_text("image,mask\n")  # of a run with another split
    outcome = run(drishti, out)
    assert (outcome.reused, outcome.complete) == (4, True)
    assert (out / "Drishti_GS_train.csv").read_text() == before
    assert not (out / "Drishti_GS.csv").exists()


def test_an_empty_journal_is_no_obstacle(drishti, tmp_path):
    """As a disk that is full at the start leaves it."""
    (tmp_path / "Fundus" / "Drishti_GS").mkdir(parents=True)
    (tmp_path / "Fundus" / "Drishti_GS" / ".prepare.jsonl").touch()
    assert run(drishti, tmp_path / "Fundus").complete


def test_a_forced_run_that_was_stopped_goes_on_without_force(drishti, tmp_path, monkeypatch):
    out = tmp_path / "Fundus"
    other = RegionOptions(roi_size=48, size=32)
    for region, options in ((REGION, PARTIAL), (other, replace(PARTIAL, force=True))):
        with monkeypatch.context() as patch:
            stop_after(patch, 2, KeyboardInterrupt)
            with pytest.raises(KeyboardInterrupt):
                run(drishti, out, options, region)
    outcome = run(drishti, out, region=other)
    assert (outcome.reused, outcome.complete) == (2, True)
    assert {record.width for record in outcome.records} == {32}


def test_tables_count_by_their_content(tmp_path):
    disc, cup = disc_and_cup(1)
    save(photograph(1), tmp_path / "raw/a.png")
    save(encode_mask(np.stack([disc, cup])), tmp_path / "raw/b.png")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pairs.csv").write_text("image,mask\na.png,b.png\n")
        outcome = prepare(
            Generic(pairs=str(tmp_path / name / "pairs.csv")),
            [tmp_path / "raw"],
            tmp_path / "out",
            region=REGION,
            options=PARTIAL,
        )
    assert outcome.reused == 1


def test_other_choices_need_force(drishti, tmp_path):
    out = tmp_path / "Fundus"
    run(drishti, out)
    before = snapshot(out)
    other = RegionOptions(roi_size=48, size=32)
    with pytest.raises(ValueError, match=r"other choices \(size None, now 32\).* --force"):
        run(drishti, out, region=other)
    assert snapshot(out) == before
    outcome = run(drishti, out, replace(PARTIAL, force=True), region=other)
    assert outcome.reused == 0
    assert Image.open(fundus_datalist(out)[0]["image"]).size == (32, 32)


def test_files_of_others_are_not_touched(drishti, tmp_path):
    out = tmp_path / "Fundus"
    (out / "Drishti_GS").mkdir(parents=True)
    (out / "Drishti_GS_train.csv").write_text("image,mask\n")
    with pytest.raises(ValueError, match=r"not made by this command \(Drishti_GS_train\.csv\)"):
        run(drishti, out, replace(PARTIAL, force=True))
    assert (out / "Drishti_GS_train.csv").read_text() == "image,mask\n"


def test_output_inside_the_raw_folder(drishti):
    with pytest.raises(ValueError, match=r"lies in the raw folder .*Choose one beside it"):
        run(drishti, drishti.root / "Fundus")
    assert not (drishti.root / "Fundus").exists()


def test_two_runs_at_once(drishti, tmp_path):
    from grata_monai.preparation.store import DomainStore

    out = tmp_path / "Fundus"
    with DomainStore(out, "Drishti_GS").locked():
        with pytest.raises(ValueError, match="Another run is preparing"):
            run(drishti, out)
    assert run(drishti, out).complete


def test_archives_give_the_same(drishti, tmp_path):
    run(drishti, tmp_path / "folder")
    archive = tmp_path / "Drishti-GS1_files.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(drishti.root.rglob("*.png")):
            file.write(path, f"Drishti-GS1_files/{path.relative_to(drishti.root).as_posix()}")
        file.writestr("__MACOSX/Drishti-GS1_files/Test/Images/._drishtiGS_001.png", b"litter")
    outcome = prepare(DrishtiGS(), [archive], tmp_path / "zip", region=REGION, options=PARTIAL)
    assert outcome.complete
    for path in (tmp_path / "folder").rglob("*.png"):
        twin = tmp_path / "zip" / path.relative_to(tmp_path / "folder")
        assert twin.read_bytes() == path.read_bytes()


EMPTY = np.zeros((96, 120), np.uint8)
NARROW = np.zeros((96, 100), np.uint8)


def write_float(drishti):
    drishti.image(3).unlink()
    levels = photograph(3)[..., 0].astype(np.float32)
    Image.fromarray(levels).save(drishti.image(3).with_suffix(".tif"))


def exchange(drishti):
    disc, cup = drishti.mask(3, "OD"), drishti.mask(3, "cup")
    content = disc.read_bytes(), cup.read_bytes()
    cup.write_bytes(content[0])
    disc.write_bytes(content[1])


def narrow_both(drishti):
    save(NARROW, drishti.mask(3, "OD"))
    save(NARROW, drishti.mask(3, "cup"))


def spoil_mask(pixels):
    return lambda drishti: save(pixels.astype(np.uint8), drishti.mask(3, "OD"))


def cut_off(path, length):
    path.write_bytes(path.read_bytes()[:length])


DISC = disc_and_cup(3)[0]
SPOIL = {
    "truncated": lambda d: cut_off(d.image(3), 2000),
    "empty file": lambda d: cut_off(d.image(3), 0),
    "no image": lambda d: d.image(3).write_text("hello"),
    "one color": lambda d: save(np.full_like(photograph(3), (200, 90, 40)), d.image(3)),
    "float": write_float,
    "truncated mask": lambda d: cut_off(d.mask(3, "OD"), 80),
    "wrong size": narrow_both,
    "sizes of the masks": spoil_mask(NARROW),
    "levels": spoil_mask(np.where(DISC, 200, 0)),
    "colors": spoil_mask(np.stack([DISC * 255, EMPTY, EMPTY], -1)),
    "empty disc": spoil_mask(EMPTY),
    "inverted": spoil_mask(np.where(DISC, 0, 255)),
    "exchanged": exchange,
}


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("truncated", "the photograph cannot be read"),
        ("empty file", "the photograph cannot be read"),
        ("no image", "the photograph cannot be read"),
        ("one color", "the photograph has one color only"),
        ("float", "the photograph cannot be read"),
        ("truncated mask", "the mask cannot be read"),
        ("wrong size", "photograph and mask differ in size"),
        ("sizes of the masks", "the masks of disc and cup differ in size"),
        ("levels", "levels of unknown meaning"),
        ("colors", "the mask cannot be read"),
        ("empty disc", "the mask has no disc"),
        ("inverted", "all four corners"),
        ("exchanged", "much of the cup lies outside the disc"),
    ],
)
def test_bad_files_are_reported_and_the_others_prepared(drishti, tmp_path, how, what):
    SPOIL[how](drishti)
    outcome = run(drishti, tmp_path / "Fundus")
    (problem,) = own_problems(outcome)
    assert what in problem.what
    assert "drishtiGS_003" in problem.file
    assert problem.cure
    assert [record.name[-3:] for record in outcome.records] == ["002", "004", "001"]
    assert len(fundus_datalist(tmp_path / "Fundus")) == 3


def test_the_broken_one_of_two_masks_is_named(drishti, tmp_path):
    cut_off(drishti.mask(3, "cup"), 80)
    outcome = run(drishti, tmp_path / "Fundus")
    (problem,) = own_problems(outcome)
    assert problem.file.endswith("drishtiGS_003_cupsegSoftmap.png")
    assert "0x" not in problem.detail


def test_a_disc_that_is_lost_by_resizing(tmp_path):
    disc = np.zeros((900, 900), bool)
    disc[450:452, 450:452] = True
    save(photograph(1, 900, 900), tmp_path / "raw/images/1.png")
    save(encode_mask(np.stack([disc, disc & False])), tmp_path / "raw/masks/1.png")
    region = RegionOptions(roi_size=800, size=16)
    outcome = prepare(
        Generic(), [tmp_path / "raw"], tmp_path / "out", region=region, options=PARTIAL
    )
    (problem,) = outcome.problems
    assert "nothing of the disc is left" in problem.what


def test_all_problems_come_together(drishti, tmp_path):
    SPOIL["truncated"](drishti)
    drishti.image(1).unlink()
    drishti.mask(2, "cup").unlink()
    save(np.zeros((96, 120), np.uint8), drishti.mask(4, "OD"))
    outcome = run(drishti, tmp_path / "Fundus", STRICT)
    assert not outcome.complete
    assert {problem.what for problem in own_problems(outcome)} == {
        "the photograph cannot be read",
        "mask without a photograph",
        "photograph without a mask",
        "the mask has no disc",
    }


def convert(pixels, kind):
    image = Image.fromarray(pixels)
    if kind == "RGBA":
        image.putalpha(Image.fromarray(pixels[..., 0]))
    elif kind == "CMYK":
        image = image.convert("CMYK")
    elif kind == "grey":
        image = Image.fromarray(pixels[..., 1])
    elif kind == "16 bit":
        image = Image.fromarray(pixels[..., 1].astype(np.uint16) * 257)
    return image


@pytest.mark.parametrize(
    ("kind", "suffix", "expected"),
    [
        ("RGBA", ".png", lambda pixels: pixels),
        ("CMYK", ".tif", lambda pixels: pixels),
        ("grey", ".PNG", lambda pixels: np.repeat(pixels[..., 1:2], 3, axis=-1)),
        ("16 bit", ".TIFF", lambda pixels: np.repeat(pixels[..., 1:2], 3, axis=-1)),
    ],
)
def test_photographs_of_other_modes_become_rgb(drishti, tmp_path, kind, suffix, expected):
    image = drishti.image(2)
    image.unlink()
    convert(photograph(2), kind).save(image.with_suffix(suffix))
    outcome = run(drishti, tmp_path / "Fundus")
    assert not own_problems(outcome)
    record = next(record for record in outcome.records if record.name == "drishtiGS_002")
    pixels = np.asarray(Image.open(tmp_path / "Fundus" / record.image))
    window = np.s_[record.top : record.top + 48, record.left : record.left + 48]
    difference = np.abs(pixels.astype(int) - expected(photograph(2))[window].astype(int))
    assert difference.max() <= (2 if kind == "CMYK" else 0)


@pytest.mark.parametrize("exif", ["refuse", "ignore", "apply"])
def test_exif_orientation(tmp_path, exif):
    """A photograph that viewers turn by 90 degrees, with its mask drawn on the turned one."""
    disc, cup = disc_and_cup(5)
    upright = photograph(5)
    tag = Image.Exif()
    tag[0x0112] = 6  # stored turned counterclockwise, to be shown turned clockwise
    save(np.ascontiguousarray(np.rot90(upright)), tmp_path / "raw/images/5.png", exif=tag)
    save(encode_mask(np.stack([disc, cup])), tmp_path / "raw/masks/5.png")
    region = RegionOptions(roi_size=48, exif=exif)
    out = tmp_path / "out"
    outcome = prepare(Generic(), [tmp_path / "raw"], out, region=region, options=PARTIAL)
    if exif == "apply":
        (record,) = outcome.records
        assert (record.native_height, record.native_width) == disc.shape
        assert record.notes == {"exif_orientation": 6}
        pixels = np.asarray(Image.open(out / record.image))
        window = np.s_[record.top : record.top + 48, record.left : record.left + 48]
        assert np.array_equal(pixels, upright[window])
    else:
        (problem,) = outcome.problems
        expected = {"refuse": "EXIF orientation", "ignore": "differ in size"}
        assert expected[exif] in problem.what


def test_names_with_spaces_and_other_letters(tmp_path):
    disc, cup = disc_and_cup(1)
    save(photograph(1), tmp_path / "raw/images/Müller, Auge 1 – 眼.png")
    save(encode_mask(np.stack([disc, cup])), tmp_path / "raw/masks/Müller, Auge 1 – 眼.png")
    out = tmp_path / "out"
    outcome = prepare(Generic(), [tmp_path / "raw"], out, region=REGION, options=PARTIAL)
    assert not outcome.problems
    (item,) = fundus_datalist(out)
    assert item["image"].endswith("Müller, Auge 1 – 眼.png")
    assert pd.read_csv(out / "Own.csv").loc[0, "image"] == "Own/image/Müller, Auge 1 – 眼.png"


def test_names_in_another_encoding(tmp_path):
    disc, cup = disc_and_cup(1)
    raw = os.fsencode(tmp_path / "raw")
    save(photograph(1), tmp_path / "raw/images/x.png")
    save(encode_mask(np.stack([disc, cup])), tmp_path / "raw/masks/x.png")
    try:
        for folder in (b"images", b"masks"):
            os.rename(raw + b"/" + folder + b"/x.png", raw + b"/" + folder + b"/eye\xe9.png")
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    outcome = prepare(
        Generic(), [tmp_path / "raw"], tmp_path / "out", region=REGION, options=PARTIAL
    )
    assert not outcome.problems
    assert fundus_datalist(tmp_path / "out")[0]["image"].endswith("Own/image/eye_.png")
    assert len(read_placements(tmp_path / "out/Own/roi.csv")) == 1


def test_dicom_photographs(tmp_path):
    pixels = photograph(1)
    (tmp_path / "raw").mkdir()
    write_dicom(tmp_path / "raw" / "eye.dcm", pixels)
    (tmp_path / "raw" / "broken.DCM").write_bytes(bytes(128) + b"DICM" + b"nothing")
    region = RegionOptions(center="whole")
    dataset = Generic(masks=False)
    outcome = prepare(dataset, [tmp_path / "raw"], tmp_path / "o", region=region, options=PARTIAL)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "o/Own/image/eye.png")), pixels)
    (problem,) = outcome.problems
    assert problem.file.endswith("broken.DCM")
    assert "not a DICOM image" in problem.detail


def test_photographs_alone_at_given_centers(tmp_path):
    for number in (1, 2):
        save(photograph(number), tmp_path / f"raw/{number}.png")
    outcome = prepare(
        Generic(masks=False),
        [tmp_path / "raw"],
        tmp_path / "out",
        region=RegionOptions(roi_size=48, center="file"),
        options=PARTIAL,
        centers={"1.png": (40, 50)},
    )
    (problem,) = outcome.problems
    assert "no row for it" in problem.what
    assert (tmp_path / "out/Own.csv").read_text() == "image,mask\nOwn/image/1.png,\n"
    assert fundus_datalist(tmp_path / "out") == [{"image": str(tmp_path / "out/Own/image/1.png")}]
    pixels = np.asarray(Image.open(tmp_path / "out/Own/image/1.png"))
    assert np.array_equal(pixels, photograph(1)[16:64, 26:74])


def test_folder_without_any_of_it(tmp_path):
    save(photograph(1), tmp_path / "raw/some.png")
    outcome = prepare(DrishtiGS(), [tmp_path / "raw"], tmp_path / "out", options=PARTIAL)
    assert not outcome.complete
    assert outcome.problems == [
        Problem(
            "Drishti-GS1",
            "none of its files were found",
            "Give the folder or archive that holds it.",
            "files there: 1, such as some.png",
        )
    ]
    assert not (tmp_path / "out").exists()


def test_prediction_goes_back_onto_the_disc(drishti, tmp_path):
    """Predict the mask exactly, on regions stored smaller; back in the photograph it must fit."""
    out = tmp_path / "Fundus"
    outcome = run(drishti, out, region=RegionOptions(roi_size=48, size=96))
    for record in outcome.records:
        grey = np.asarray(Image.open(out / record.mask))
        labels = np.select([grey == 0, grey == 128], [2, 1], 0).astype(np.uint8)
        save(labels, tmp_path / "predictions" / f"{record.name}_seg.png")
    table = out / "Drishti_GS" / "roi.csv"
    back = tmp_path / "back"
    assert paste_folder(tmp_path / "predictions", table, back, raw=drishti.root) == 4
    assert len(read_placements(table)) == 4
    for number in Drishti.NUMBERS:
        labels = np.asarray(Image.open(back / f"drishtiGS_{number:03d}_seg.png"))
        disc, cup = disc_and_cup(number)
        assert np.array_equal(labels > 0, disc)
        assert np.array_equal(labels == 2, cup)
        overlay = np.asarray(Image.open(back / f"drishtiGS_{number:03d}_overlay.png"))
        changed = (overlay != photograph(number)).any(-1)
        assert changed.any()
        assert not (changed & ~disc).any()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_prediction_on_a_turned_photograph_goes_back_to_the_stored_pixels(tmp_path, orientation):
    disc, cup = disc_and_cup(5)
    tag = Image.Exif()
    tag[0x0112] = orientation
    stored, stored_disc = (
        turn_back(pixels, orientation) for pixels in (photograph(5), disc.astype(np.uint8))
    )
    save(stored, tmp_path / "raw/images/5.png", exif=tag)
    save(encode_mask(np.stack([disc, cup])), tmp_path / "raw/masks/5.png")
    region, out = RegionOptions(roi_size=48, exif="apply"), tmp_path / "out"
    (record,) = prepare(Generic(), [tmp_path / "raw"], out, region=region, options=PARTIAL).records
    assert record.turned == orientation
    grey = np.asarray(Image.open(out / record.mask))
    save((grey < 255).astype(np.uint8), tmp_path / "p/5_seg.png")
    paste_folder(tmp_path / "p", out / "Own/roi.csv", tmp_path / "whole", raw=tmp_path / "raw")
    whole = np.asarray(Image.open(tmp_path / "whole/5_seg.png"))
    assert np.array_equal(whole, stored_disc)
    assert np.asarray(Image.open(tmp_path / "whole/5_overlay.png")).shape == stored.shape


def test_overlays_on_photographs_of_an_archive(drishti, tmp_path):
    archive = tmp_path / "D.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(drishti.root.rglob("*.png")):
            file.write(path, path.relative_to(drishti.root).as_posix())
    outcome = prepare(DrishtiGS(), [archive], tmp_path / "out", region=REGION, options=PARTIAL)
    for record in outcome.records:
        save(np.ones((48, 48), np.uint8), tmp_path / "p" / f"{record.name}_seg.png")
    for number, raw in enumerate((archive, drishti.root)):
        back = tmp_path / f"back{number}"
        assert paste_folder(tmp_path / "p", tmp_path / "out/Drishti_GS/roi.csv", back, raw=raw) == 4
        assert len(list(back.glob("*_overlay.png"))) == 4
    save(np.ones((48, 48), np.uint8), tmp_path / "p/more/drishtiGS_001_seg.png")
    with pytest.raises(ValueError, match="are of one image"):
        paste_folder(tmp_path / "p", tmp_path / "out/Drishti_GS/roi.csv", tmp_path / "back")


def test_pasting_what_does_not_belong(drishti, tmp_path):
    out = tmp_path / "Fundus"
    run(drishti, out)
    table = out / "Drishti_GS" / "roi.csv"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no file NAME_seg\.png .* such as drishtiGS_002_seg"):
        paste_folder(tmp_path / "empty", table, tmp_path / "back")
    save(np.full((48, 48), 255, np.uint8), tmp_path / "p/drishtiGS_002_seg.png")
    with pytest.raises(ValueError, match="is no label map: it has levels up to 255"):
        paste_folder(tmp_path / "p", table, tmp_path / "back")
    with pytest.raises(FileNotFoundError, match=r"roi\.csv that prepare wrote"):
        paste_folder(tmp_path / "p", tmp_path / "none.csv", tmp_path / "back")
    with pytest.raises(ValueError, match=r"is not a roi\.csv of prepare"):
        paste_folder(tmp_path / "p", out / "Drishti_GS_train.csv", tmp_path / "back")
