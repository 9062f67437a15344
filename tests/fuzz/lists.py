# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Readers of tables and of prepared folders."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import strategies as st

from grata_monai.data import fundus_datalist, listed_domains
from grata_monai.localization import read_centers
from grata_monai.preparation import open_raw
from grata_monai.preparation.pair_table import read_pair_table
from grata_monai.preparation.pairing import native_sizes
from grata_monai.preparation.records import read_placements
from grata_monai.preparation.store import DomainStore
from grata_monai.preparation.verify import verify_folder
from tests.fuzz import samples
from tests.fuzz.mutations import csv_files, json_files
from tests.fuzz.target import Target, written


def _put_images(folder: Path) -> None:
    image, mask = samples.images()[0], samples.images()[3]
    for name in ("a.png", "image/b.png"):
        written(folder, name, image)
    written(folder, "mask/b.png", mask)


def _csv_list(folder: Path, data: bytes) -> None:
    path = written(folder, "x.csv", data)
    listed_domains(folder)
    for item in fundus_datalist(path):
        assert os.path.isfile(item["image"])


def _pair_table(folder: Path, data: bytes) -> None:
    path = written(folder, "x.csv", data)
    with open_raw([folder]) as raw:
        for masks in (True, False):
            read_pair_table(path, raw, masks=masks)


def _centers(folder: Path, data: bytes) -> None:
    for row, column in read_centers(written(folder, "x.csv", data)).values():
        assert row >= 0 <= column


def _roi_table(folder: Path, data: bytes) -> None:
    path = written(folder, "D/roi.csv", data)
    native_sizes(folder, "D")
    read_placements(path)


_MANIFEST = {
    "settings": {"size": 1},
    "files": {"D/image/a.png": "0" * 64},
    "records": [{"name": "a", "source": "x", "files": {"D/image/a.png": "0" * 64}}],
}


def _prepared(folder: Path, data: tuple[bytes, bytes, bytes]) -> None:
    root = folder / "prepared"
    manifest, journal, table = data
    written(root, "D_train.csv", table)
    written(root, "D/image/a.png", samples.images()[0])
    written(root, "D/.prepare.jsonl", journal)
    written(root, "D/manifest.json", manifest)
    verify_folder(root, jobs=1)
    store = DomainStore(root, "D")
    store.settings()
    store.finished()


_LISTS = csv_files(
    {
        "image": ("a.png", "image/b.png", "image\\b.png"),
        "mask": ("mask/b.png", "", "mask/b.png"),
        "center_row": ("3",),
        "center_col": ("3", "4.5"),
    }
)
_PAIRS = csv_files(
    {
        "image": ("a.png", "image/b.png", "C:\\x\\a.png"),
        "mask": ("mask/b.png", "MASK/B.png"),
        "split": ("train", "test", ""),
        "center_row": ("3", ""),
        "center_col": ("3", ""),
    }
)
_CENTERS = csv_files(
    {
        "image": ("a.png", "b/a.png", "c", "d.png", "b/e.jpg"),
        "center_row": ("1", "2.5"),
        "center_col": ("1", "0"),
    }
)
_SIZES = ("top", "left", "roi_height", "roi_width", "native_height", "native_width")
_ROIS = csv_files(
    {
        "name": ("a", "b"),
        "source": ("x.png",),
        "image": ("D/image/a.png",),
        **dict.fromkeys(_SIZES, ("0", "4", "12")),
        "turned": ("1", "6"),
        "center_from": ("mask", "whole"),
    }
)
_PREPARED = st.tuples(
    json_files(_MANIFEST),
    json_files({"settings": {}}, {"record": _MANIFEST["records"][0]}),
    csv_files({"image": ("D/image/a.png",), "mask": ("D/mask/a.png", "")}),
)
TARGETS = {
    "csv_list": Target(_LISTS, _csv_list, prepare=_put_images),
    "pair_table": Target(_PAIRS, _pair_table, names="x.csv", prepare=_put_images),
    "centers": Target(_CENTERS, _centers, names="x.csv"),
    "roi_table": Target(_ROIS, _roi_table, names="roi.csv"),
    "prepared_folder": Target(_PREPARED, _prepared),
}
