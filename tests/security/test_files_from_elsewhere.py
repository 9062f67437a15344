# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What fuzzing found, and what it cannot find: files of absurd size or depth, paths in them."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest
import scipy.io
from PIL import Image

from grata_monai._files import sha256_of
from grata_monai.benchmark import requested_grid
from grata_monai.benchmark.progress import cell_progress
from grata_monai.imaging import probe, read_mask, read_photograph
from grata_monai.label.contours import rasterize
from grata_monai.label.settings import LabelSettings
from grata_monai.preparation._matlab_files import read_matrix
from grata_monai.preparation.records import read_placements
from grata_monai.preparation.store import DomainStore
from grata_monai.preparation.verify import verify_folder
from grata_monai.report import read_run
from tests.report.synthetic_run import write_run

DEEP = "[" * 100_000


def png_of_size(width, height):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(2**13, 2**13 + 1), (2**16, 2**16), (2**31 - 1, 1)])
def test_images_larger_than_any_photograph(tmp_path, size):
    (tmp_path / "x.png").write_bytes(png_of_size(*size))
    for read in (read_photograph, read_mask):
        with pytest.raises(ValueError, match=r"x\.png: .*(more than any photograph|exceeds limit)"):
            read(tmp_path / "x.png")
    with pytest.raises((ValueError, Image.DecompressionBombError)):
        probe(tmp_path / "x.png")


def test_a_length_that_asks_for_all_memory_is_refused(tmp_path, monkeypatch):
    (tmp_path / "x.png").write_bytes(png_of_size(4, 4))

    def read(*_):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", read)
    with pytest.raises(ValueError, match=r"Cannot read the photograph .*x\.png"):
        read_photograph(tmp_path / "x.png")


def test_dicom_larger_than_any_photograph_or_deflated(tmp_path):
    pytest.importorskip("pydicom")
    from tests.fuzz.samples import dicoms

    rows = b"\x28\x00\x10\x00US\x02\x00"
    large = dicoms()[0].replace(rows + b"\x06\x00", rows + b"\xff\xff")
    columns = b"\x28\x00\x11\x00US\x02\x00"
    large = large.replace(columns + b"\x06\x00", columns + b"\xff\xff")
    (tmp_path / "x.dcm").write_bytes(large)
    with pytest.raises(ValueError, match="65535 x 65535 pixels, more than any photograph"):
        read_photograph(tmp_path / "x.dcm")
    deflated = dicoms()[0].replace(b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.1.2.1.99", 1)
    (tmp_path / "x.dcm").write_bytes(deflated)
    with pytest.raises(ValueError, match="deflated as a whole"):
        read_photograph(tmp_path / "x.dcm")


def test_deep_json_is_refused_everywhere(tmp_path):
    run = write_run(tmp_path / "run", sources=("A",), targets=("B",), images=1, seeds=(0,))
    (run / "plan.json").write_text(DEEP)
    (tmp_path / "settings.json").write_text(DEEP)
    for read in (
        lambda: requested_grid(tmp_path, grid=run / "plan.json"),
        lambda: list(cell_progress(run)),
        lambda: read_run(run),
        lambda: LabelSettings.read(tmp_path),
    ):
        with pytest.raises(ValueError, match="nested too deeply"):
            read()


@pytest.mark.parametrize("status", ["{}", '{"status": "complete", "total": []}'])
def test_a_cell_without_its_status(tmp_path, status):
    run = write_run(tmp_path, sources=("A",), targets=("B",), images=1, seeds=(0,))
    (next((run / "cells").iterdir()) / "cell.json").write_text(status)
    with pytest.raises(ValueError, match=r"cell\.json must have a 'status' and a 'total'"):
        list(cell_progress(run))


def test_rows_without_a_seed(tmp_path):
    run = write_run(tmp_path, sources=("A",), targets=("B",), images=1, seeds=(0,))
    for path in run.rglob("rows.csv"):
        path.write_text(path.read_text().replace(",0,grata,", ",,grata,"))
    with pytest.raises(ValueError, match=r"rows\.csv has a row whose 'seed' is no number"):
        read_run(run)


def test_numbers_too_large_for_a_table(tmp_path):
    columns = "name,source,top,left,roi_height,roi_width,native_height,native_width"
    (tmp_path / "roi.csv").write_text(f"{columns}\na,x,{10**30},1,1,1,1,1\n")
    with pytest.raises(ValueError, match=r"roi\.csv is not a roi\.csv of prepare"):
        read_placements(tmp_path / "roi.csv")


@pytest.mark.parametrize(
    "polygons",
    [5, {"label": "optic disc"}, ["x"], [[]], [{"label": []}], [{"label": "optic cup"}]],
)
def test_polygons_that_are_none(polygons):
    with pytest.raises(ValueError, match=r"The (label of polygons|contours of labels) must be"):
        rasterize(polygons, (4, 4))


def put_domain(root, manifest):
    (root / "D" / "image").mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / "D" / "image" / "a.png")
    (root / "D_train.csv").write_text("image,mask\nD/image/a.png,\n")
    (root / "D" / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["../../precious.txt", "absolute"])
def test_a_manifest_cannot_have_files_outside_removed(tmp_path, name):
    precious = tmp_path / "precious.txt"
    precious.write_text("x")
    name = str(precious) if name == "absolute" else name
    record = dict.fromkeys(
        ("image", "mask", "name", "split", "source", "center_from", "border"), ""
    )
    sizes = ("native_height", "native_width", "top", "left", "roi_height", "roi_width", "height")
    record |= dict.fromkeys((*sizes, "width", "center_row", "center_col", "turned"), 1)
    record |= {"source_masks": [], "disc_px": None, "cup_px": None, "fingerprint": "f"}
    record["files"] = {name: sha256_of(precious)}
    put_domain(tmp_path / "a" / "root", {"settings": {}, "records": [record]})
    DomainStore(tmp_path / "a" / "root", "D").complete([], {})
    assert precious.exists()


@pytest.mark.parametrize("name", ["../x", "/dev/zero", "D/../../x"])
def test_a_manifest_cannot_have_files_outside_read(tmp_path, name):
    put_domain(tmp_path, {"files": {name: "0" * 64}})
    report = verify_folder(tmp_path, jobs=1)
    assert any("names a file outside the folder" in problem.detail for problem in report.errors)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8", "u8"])
def test_matlab_matrices_are_read_as_scipy_reads_them(tmp_path, compressed, dtype):
    matrix = np.arange(42).reshape(6, 7).astype(dtype)
    content = {"other": "text", "complex": matrix * 1j, "cell": [1, "a"], "mask": matrix}
    scipy.io.savemat(tmp_path / "x.mat", content, do_compression=compressed)
    found = read_matrix((tmp_path / "x.mat").read_bytes(), "mask")
    expected = scipy.io.loadmat(tmp_path / "x.mat")["mask"]
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("name", ["text", "complex", "nothing"])
def test_matlab_files_without_a_real_matrix(tmp_path, name):
    scipy.io.savemat(tmp_path / "x.mat", {"text": "a", "complex": np.eye(2) * 1j})
    with pytest.raises(ValueError, match=f"no real matrix '{name}'"):
        read_matrix((tmp_path / "x.mat").read_bytes(), name)


def test_a_matlab_file_that_ends_the_process_in_scipy(tmp_path):
    scipy.io.savemat(tmp_path / "x.mat", {"mask": np.eye(5, dtype=np.uint8)})
    data = (tmp_path / "x.mat").read_bytes()
    strange_type = data.replace(b"mask\x02\x00", b"mask\x02\x1f")
    assert strange_type != data
    for broken in (strange_type, data[:-20], data[:128], b""):
        with pytest.raises(ValueError, match=r"cut off|no real matrix|level 5"):
            read_matrix(broken, "mask")
