# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The five data sets end to end: synthetic raw downloads in, the authors' layout out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from grata_monai.data import DOMAINS, fundus_datalist
from grata_monai.preparation import (
    RAW_LAYOUTS,
    DrishtiGS,
    Origa,
    PrepareOptions,
    RefugeTraining,
    RefugeValid,
    RegionOptions,
    RimOneR3,
    prepare,
    read_placements,
    synthetic_raw_stems,
    write_synthetic_raw,
)

DATASETS = {d.key: d for d in (RimOneR3(), RefugeTraining(), Origa(), RefugeValid(), DrishtiGS())}
SCALE, ROI = 0.1, 80
OPTIONS = PrepareOptions(jobs=1, allow_partial=True, progress=False)
REGION = RegionOptions(roi_size=ROI)


def levels(path):
    return np.asarray(Image.open(path))


def truth(layout, root, name):
    """Read disc and cup of a raw eye without the code under test."""
    files = sorted(path for path in root.rglob(f"*{name}*") if path.suffix != ".jpg")
    names = {path.name.lower(): path for path in files if path.is_file()}
    if layout == "rim-one-r3":
        parts = [levels(names[f"{name}-{part}-avg.png".lower()]) == 255 for part in ("disc", "cup")]
        return [part[:, : part.shape[1] // 2] for part in parts]
    if layout == "drishti-gs":
        return [
            levels(names[f"{name}_{part}segsoftmap.png".lower()]) == 255 for part in ("od", "cup")
        ]
    if layout == "origa":
        mask = levels(names[f"{name}.png"])
        return [mask > 0, mask == 2]
    mask = levels(names[f"{name}.bmp".lower()])
    return [mask < 255, mask == 0]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    root = tmp_path_factory.mktemp("raw")
    for layout in RAW_LAYOUTS:
        write_synthetic_raw(root / layout, layout, images=4, scale=SCALE)
    return root


@pytest.mark.parametrize("layout", RAW_LAYOUTS)
def test_every_set_comes_out_in_the_authors_layout(raw, layout, tmp_path):
    dataset = DATASETS[layout]
    outcome = prepare(dataset, [raw / layout], tmp_path, region=REGION, options=OPTIONS)
    assert outcome.complete
    domain = DOMAINS[dataset.domain]
    assert {problem.what for problem in outcome.problems} == {
        "neither photograph nor mask was found"
    }
    assert len(outcome.records) + len(outcome.problems) == domain.images
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == sorted(domain.csv_files)
    for path in tmp_path.glob("*.csv"):
        assert path.read_text().startswith("image,mask\n")
    names = [item["image"].rsplit("/", 1)[-1][:-4] for item in fundus_datalist(tmp_path)]
    assert sorted(names) == sorted(synthetic_raw_stems(layout, 4))
    placements = read_placements(tmp_path / domain.name / "roi.csv")
    for record in outcome.records:
        disc, cup = truth(layout, raw / layout, record.name)
        grey = np.full(disc.shape, 255, np.uint8)
        grey[disc], grey[cup & disc] = 128, 0
        place = placements[record.name]
        assert place.native_size == disc.shape
        rows, columns = np.nonzero(disc)
        center = rows.mean(), columns.mean()
        assert place.window.top == round(center[0]) - ROI // 2
        assert place.window.left == round(center[1]) - ROI // 2
        stored = levels(tmp_path / record.mask)
        assert stored.shape == (ROI, ROI)
        assert np.array_equal(stored, place.window.cut(grey, fill=255))
        # the photograph's own pixels, where the file is not a JPEG that was decoded elsewhere
        photograph = np.asarray(Image.open(next((raw / layout).rglob(place.source.split("/")[-1]))))
        view = photograph[: disc.shape[0], : disc.shape[1]]
        assert np.array_equal(levels(tmp_path / record.image), place.window.cut(view))


@pytest.mark.parametrize("layout", RAW_LAYOUTS)
def test_archives_give_the_same(raw, layout, tmp_path):
    archives = tmp_path / "archives"
    write_synthetic_raw(archives, layout, images=4, scale=SCALE, zipped=True)
    for name, source in (("folder", raw / layout), ("zip", archives)):
        prepare(DATASETS[layout], [source], tmp_path / name, region=REGION, options=OPTIONS)
    one, two = (
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.png")}
        for name in ("folder", "zip")
    )
    assert len(one) == 8
    assert one == two


def test_sets_lie_side_by_side_in_one_folder(raw, tmp_path):
    for layout, dataset in DATASETS.items():
        assert prepare(dataset, [raw / layout], tmp_path, region=REGION, options=OPTIONS).complete
    for domain in DOMAINS:
        assert len(fundus_datalist(tmp_path, domain=domain)) == 4
        assert len(pd.read_csv(tmp_path / domain / "roi.csv")) == 4


def test_one_download_that_holds_all_sets(raw, tmp_path):
    """Names and folders must keep the sets apart."""
    for layout, dataset in DATASETS.items():
        outcome = prepare(dataset, [raw], tmp_path, region=REGION, options=OPTIONS)
        assert {r.name for r in outcome.records} == set(synthetic_raw_stems(layout, 4)), layout


def test_experts_and_agreement_change_the_masks(raw, tmp_path):
    def disc_pixels(dataset, layout, name):
        out = tmp_path / name
        outcome = prepare(dataset, [raw / layout], out, region=REGION, options=OPTIONS)
        return sum(record.disc_px for record in outcome.records)

    areas = [
        disc_pixels(DrishtiGS(agreement=level), "drishti-gs", f"d{level}") for level in (1, 2, 3, 4)
    ]
    assert areas == sorted(areas, reverse=True)
    assert len(set(areas)) == 4
    experts = {
        disc_pixels(RimOneR3(annotator=who), "rim-one-r3", who)
        for who in ("average", "expert1", "expert2")
    }
    assert len(experts) == 3


def test_origa_from_matlab_files_and_by_set(raw, tmp_path):
    png = prepare(Origa(), [raw / "origa"], tmp_path / "png", region=REGION, options=OPTIONS)
    dataset = Origa(mask_files="mat", split="set")
    mat = prepare(dataset, [raw / "origa"], tmp_path / "mat", region=REGION, options=OPTIONS)
    pixels = [{record.name: record.disc_px for record in outcome.records} for outcome in (png, mat)]
    assert pixels[0] == pixels[1]
    assert all(record.source_masks[0].endswith(".mat") for record in mat.records)
    sets = pd.read_csv(next((raw / "origa").rglob("OrigaList.csv")), dtype=str)
    expected = {
        row["Filename"][:3]: {"A": "train", "B": "test"}[row["Set"]] for _, row in sets.iterrows()
    }
    assert {r.name: r.split for r in mat.records} == {r.name: expected[r.name] for r in mat.records}
