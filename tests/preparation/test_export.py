# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""JSON lists, read back as the programs read them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from monai.data import load_decathlon_datalist
from PIL import Image

from grata_monai.data import fundus_datalist, write_synthetic_domain
from grata_monai.preparation.export import export_datalist

A, B = "Synthetic_A", "Synthetic_B"


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    write_synthetic_domain(root, A, images=12, size=32)
    write_synthetic_domain(root, B, images=7, size=32)
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "Fundus")


def export(root, out, *domains, **options):
    return export_datalist(root, out, domains=domains, jobs=1, progress=False, **options)


def resolved(items, base):
    return [{key: str((base / item[key]).resolve()) for key in item} for item in items]


def test_monai_list_in_the_order_of_the_stream(root, tmp_path):
    out = tmp_path / "lists" / "a.json"
    assert export(root, out, B, A) == {"training": 14, "test": 5, "labels": 19}
    items = json.loads(out.read_text())
    assert not any(Path(path).is_absolute() for item in items for path in item.values())
    expected = [*fundus_datalist(root, domain=B), *fundus_datalist(root, domain=A)]
    assert resolved(items, out.parent) == resolved(expected, root)


def test_absolute_paths(root, tmp_path):
    export(root, tmp_path / "a.json", A, absolute=True)
    assert json.loads((tmp_path / "a.json").read_text()) == fundus_datalist(root, domain=A)


@pytest.mark.parametrize("absolute", [False, True])
def test_decathlon_is_read_by_monai(root, tmp_path, absolute):
    out = tmp_path / "lists" / "a.json"
    export(root, out, A, form="decathlon", absolute=absolute)
    for key, split, count in (("training", "train", 9), ("test", "test", 3)):
        items = load_decathlon_datalist(out, is_segmentation=True, data_list_key=key)
        assert len(items) == count
        assert items == fundus_datalist(root, domain=A, split=split)
    content = json.loads(out.read_text())
    assert (content["numTraining"], content["numTest"]) == (9, 3)
    assert content["labels"] == {"0": "background", "1": "rim", "2": "cup"}
    assert content["label_encoding"].startswith("grey levels: 0 cup")


def test_terms_of_a_benchmark_domain(root, tmp_path):
    for split in ("train", "test"):
        (root / f"{A}_{split}.csv").rename(root / f"Drishti_GS_{split}.csv")
    export(root, tmp_path / "a.json", "Drishti_GS", form="decathlon")
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["name"] == "Drishti_GS"
    assert "Drishti-GS1" in content["description"]
    assert "do not redistribute" in content["licence"]
    assert "AAAI 2025" in content["reference"]


def test_label_maps(root, tmp_path):
    out = tmp_path / "a.json"
    export(root, out, A, form="decathlon", label_maps=tmp_path / "labels")
    items = load_decathlon_datalist(out, data_list_key="training")
    grey = fundus_datalist(root, domain=A, split="train")
    for item, source in zip(items, grey, strict=True):
        assert item["image"] == source["image"]
        labels, mask = (np.asarray(Image.open(file["label"])) for file in (item, source))
        assert labels.dtype == np.uint8
        expected = {255: 0, 128: 1, 0: 2}
        for level, label in expected.items():
            assert (labels[mask == level] == label).all()
    assert json.loads(out.read_text())["label_encoding"].startswith("0 background, 1 rim")


def test_label_maps_that_are_right_are_left_alone(root, tmp_path):
    folder = tmp_path / "labels"
    export(root, tmp_path / "a.json", A, label_maps=folder)
    files = sorted(folder.rglob("*.png"))
    assert len(files) == 12
    files[0].write_bytes(b"broken")
    Image.new("L", (32, 32)).save(files[1])
    before = {path: path.stat().st_ino for path in files}
    export(root, tmp_path / "a.json", A, label_maps=folder)
    changed = [path for path in files if path.stat().st_ino != before[path]]
    assert changed == files[:2]
    assert np.asarray(Image.open(files[1])).max() == 2


def test_two_masks_for_one_label_map(root, tmp_path):
    rows = (root / f"{A}_train.csv").read_text().splitlines()
    mask = rows[1].split(",")[1]
    other = Path(mask).with_suffix(".bmp").as_posix()
    Image.open(root / mask).save(root / other)
    (root / f"{A}_train.csv").write_text(
        "\n".join([*rows, f"{rows[2].split(',')[0]},{other}"]) + "\n"
    )
    with pytest.raises(ValueError, match="would be written to"):
        export(root, tmp_path / "a.json", A, label_maps=tmp_path / "labels")


def test_folds_are_even_in_each_domain_and_seeded(root, tmp_path):
    def folds(seed):
        export(root, tmp_path / "a.json", A, B, form="decathlon", folds=3, seed=seed)
        items = load_decathlon_datalist(tmp_path / "a.json", data_list_key="training")
        return [(A if A in item["image"] else B, item["fold"]) for item in items]

    first = folds(0)
    for domain, counts in ((A, {3}), (B, {1, 2, 3})):
        found = Counter(fold for name, fold in first if name == domain)
        assert set(found) == {0, 1, 2}
        assert set(found.values()) <= counts
    assert folds(0) == first
    assert folds(1) != first
    test = load_decathlon_datalist(tmp_path / "a.json", data_list_key="test")
    assert not any("fold" in item for item in test)


def test_list_without_splits_is_for_training(root, tmp_path):
    text = (root / f"{A}_train.csv").read_text()
    for split in ("train", "test"):
        (root / f"{A}_{split}.csv").unlink()
    (root / f"{A}.csv").write_text(text)
    counts = export(root, tmp_path / "a.json", A, form="decathlon")
    assert (counts["training"], counts["test"]) == (9, 0)


def without_masks(root, *, rows):
    path = root / f"{B}_train.csv"
    lines = path.read_text().splitlines()
    for index in range(1, rows + 1):
        lines[index] = lines[index].split(",")[0] + ","
    path.write_text("\n".join(lines) + "\n")


def test_no_masks(root, tmp_path):
    without_masks(root, rows=5)
    (root / f"{B}_test.csv").unlink()
    out = tmp_path / "b.json"
    assert export(root, out, B)["labels"] == 0
    assert list(json.loads(out.read_text())[0]) == ["image"]
    for options in ({"form": "decathlon"}, {"label_maps": tmp_path / "labels"}):
        with pytest.raises(ValueError, match="5 of the 5 images have no mask"):
            export(root, out, B, **options)


def test_some_masks(root, tmp_path):
    without_masks(root, rows=1)
    with pytest.raises(ValueError, match="1 of the 7 images have no mask, the first in"):
        export(root, tmp_path / "b.json", B)


def test_missing_files_are_all_named(root, tmp_path):
    items = fundus_datalist(root, domain=A)
    Path(items[0]["image"]).unlink()
    Path(items[5]["label"]).unlink()
    with pytest.raises(FileNotFoundError, match=r"the file is missing \(2 files\)"):
        export(root, tmp_path / "a.json", A)
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "msd"}, "'form' parameter of export_datalist"),
        ({"folds": 1, "form": "decathlon"}, "One fold leaves nothing"),
        ({"folds": 3}, "Folds go with the form 'decathlon' only"),
        ({"folds": 50, "form": "decathlon"}, "9 training images are too few for 50 folds"),
        ({"seed": -1}, "'seed' parameter of export_datalist"),
    ],
)
def test_arguments(root, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export(root, tmp_path / "a.json", A, **options)


def test_domains(root, tmp_path):
    with pytest.raises(ValueError, match="needs a domain"):
        export(root, tmp_path / "a.json")
    with pytest.raises(ValueError, match="Did you mean 'Synthetic_A'"):
        export(root, tmp_path / "a.json", "Synthetic_a")
