# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed: a strategy of inputs per reader, and how the reader is called.

A reader either accepts an input or refuses it with an error of ours. Whatever else it raises is a
crash, and so is a refusal that does not name the file, where the reader promises that it does.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import torch
from hypothesis import strategies as st

from grata_monai.adapters import build_adapter
from grata_monai.adapters.check_tools import tiny_images, tiny_network
from grata_monai.benchmark import read_rows, requested_grid, source_means, with_average
from grata_monai.benchmark.progress import cell_progress
from grata_monai.benchmark.results import over_seeds, target_means
from grata_monai.data import fundus_datalist, listed_domains
from grata_monai.imaging import (
    ImageSource,
    exif_orientation,
    probe,
    read_levels,
    read_mask,
    read_photograph,
)
from grata_monai.imaging.reading import UNREADABLE
from grata_monai.label.contours import contours, rasterize
from grata_monai.label.label_files import read_label_file
from grata_monai.label.request import check_center
from grata_monai.label.settings import LabelSettings
from grata_monai.localization import read_centers
from grata_monai.networks.source_weights import read_weights
from grata_monai.networks.weight_files import read_tensors
from grata_monai.preparation import open_raw
from grata_monai.preparation.origa import _read_mat as read_mat
from grata_monai.preparation.pair_table import read_pair_table
from grata_monai.preparation.pairing import native_sizes
from grata_monai.preparation.problems import FileError
from grata_monai.preparation.records import read_placements
from grata_monai.preparation.sources import RawFile
from grata_monai.preparation.store import DomainStore
from grata_monai.preparation.verify import verify_folder
from grata_monai.report.analysis import analyse
from grata_monai.report.gallery import build_gallery
from grata_monai.report.run import read_run
from grata_monai.report.sections import build_sections
from tests.fuzz import samples
from tests.fuzz.mutations import changed_json, csv_files, files, json_files, json_values
from tests.report.synthetic_run import write_run

OURS = (ValueError, OSError)


@dataclass(frozen=True)
class Target:
    """A reader under test.

    Args:
        inputs: What it is fed.
        read: Called with a folder of its own and an input; written files stay in the folder.
        refusals: Errors that are the reader's own.
        names: What the message of a refusal must hold, as the reader promises.
        prepare: Puts files into the folder, once.
    """

    inputs: st.SearchStrategy[Any]
    read: Callable[[Path, Any], object]
    refusals: tuple[type[Exception], ...] = OURS
    names: str = ""
    prepare: Callable[[Path], None] = lambda _: None

    def accepts(self, folder: Path, value: Any) -> bool:
        """Feed the reader; tell whether it accepted.

        Raises:
            Exception: If it crashed.
        """
        try:
            self.read(folder, value)
        except self.refusals as error:
            if self.names and self.names not in str(error):
                raise AssertionError(f"The refusal does not name {self.names}: {error}") from error
            return False
        return True


def _written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# -- pictures ----------------------------------------------------------------------------------


def _photograph(folder: Path, data: bytes) -> None:
    path = _written(folder, "x.png", data)
    exif_orientation(path)
    with contextlib.suppress(*UNREADABLE):
        probe(path)
    from_file = read_photograph(path)
    assert from_file.mode == "RGB"
    from_memory = read_photograph(ImageSource("x.png", data), follow_exif=True)
    assert sorted(from_memory.size) == sorted(from_file.size)


def _mask(folder: Path, data: bytes) -> None:
    assert read_mask(_written(folder, "x.png", data)).mode == "L"


def _levels(folder: Path, data: bytes) -> None:
    assert read_levels(_written(folder, "x.png", data)).dtype in (np.uint8, np.int64)


def _folder_of_images(folder: Path, data: bytes) -> None:
    fundus_datalist(_written(folder, "one/x.png", data).parent)


def _dicom(folder: Path, data: bytes) -> None:
    assert read_photograph(_written(folder, "x.dcm", data)).mode == "RGB"
    read_mask(ImageSource("x.dcm", data))


# -- lists -------------------------------------------------------------------------------------


def _put_images(folder: Path) -> None:
    image, mask = samples.images()[0], samples.images()[3]
    for name in ("a.png", "image/b.png"):
        _written(folder, name, image)
    _written(folder, "mask/b.png", mask)


def _csv_list(folder: Path, data: bytes) -> None:
    path = _written(folder, "x.csv", data)
    listed_domains(folder)
    for item in fundus_datalist(path):
        assert os.path.isfile(item["image"])


def _pair_table(folder: Path, data: bytes) -> None:
    path = _written(folder, "x.csv", data)
    with open_raw([folder]) as raw:
        for masks in (True, False):
            read_pair_table(path, raw, masks=masks)


def _centers(folder: Path, data: bytes) -> None:
    for row, column in read_centers(_written(folder, "x.csv", data)).values():
        assert row >= 0 <= column


def _roi_table(folder: Path, data: bytes) -> None:
    path = _written(folder, "D/roi.csv", data)
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
    _written(root, "D_train.csv", table)
    _written(root, "D/image/a.png", samples.images()[0])
    _written(root, "D/.prepare.jsonl", journal)
    _written(root, "D/manifest.json", manifest)
    verify_folder(root, jobs=1)
    store = DomainStore(root, "D")
    store.settings()
    store.finished()


# -- the benchmark -----------------------------------------------------------------------------

_GRID = {
    "name": "x",
    "methods": [
        {"name": "No Adapt", "method": "source"},
        {"name": "G", "method": "grata", "options": {"mapping": "linear"}, "rate_from": None},
        {"name": "T", "method": "tent", "rate_from": "G"},
    ],
    "sources": {"A": "a.pt"},
    "targets": ["B", "C"],
    "seeds": [0, 1],
    "protocols": ["grata", "mixed"],
    "rounds": 1,
    "limit": 2,
    "image_size": 64,
    "roi_size": 800,
    "diagnostics": False,
}


def _grid(folder: Path, data: bytes) -> None:
    grid = requested_grid(folder, grid=_written(folder, "x.json", data))
    for cell in grid.cells():
        assert Path(cell.id).name == cell.id
    json.dumps(grid.to_dict())


@functools.cache
def _run_files() -> dict[str, bytes]:
    """Return the files of a small run by what they are."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        run = write_run(Path(name), sources=("A",), targets=("B",), images=2, seeds=(0,), size=16)
        cell = next((run / "cells").iterdir())
        return {
            "plan.json": (run / "plan.json").read_bytes(),
            "rows.csv": (cell / "rows.csv").read_bytes(),
            "cell": cell.name.encode(),
        }


def _run_inputs() -> st.SearchStrategy[tuple[bytes, bytes, bytes]]:
    found = _run_files()
    plan = json.loads(found["plan.json"])
    plan["cells"] = plan["cells"][:1]
    status = {"id": found["cell"].decode(), "status": "complete", "total": 2, "error": ""}
    header, *rows = found["rows.csv"].decode().splitlines()
    columns = zip(*(row.split(",") for row in rows), strict=True)
    cells = dict(zip(header.split(","), columns, strict=True))
    tables = st.one_of(files(found["rows.csv"]), csv_files(cells))
    return st.tuples(json_files(plan), json_files(status), tables)


def _put_run(folder: Path, data: tuple[bytes, bytes, bytes]) -> Path:
    plan, status, rows = data
    cell = _run_files()["cell"].decode()
    run = folder / "run"
    for name, content in (("plan.json", plan), ("rows.csv", rows)):
        _written(run, name, content)
    for name, content in (("cell.json", status), ("rows.csv", rows)):
        _written(run, f"cells/{cell}/{name}", content)
    return run


def _run(folder: Path, data: tuple[bytes, bytes, bytes]) -> None:
    run = _put_run(folder, data)
    list(cell_progress(run))
    rows = read_rows(run)
    over_seeds(target_means(rows))
    over_seeds(with_average(source_means(rows)))


def _report(folder: Path, data: tuple[bytes, bytes, bytes]) -> None:
    found = read_run(_put_run(folder, data))
    build_gallery(found, max_images=2)
    build_sections(analyse(found))


# -- weights and states ------------------------------------------------------------------------


def _weights(name: str) -> Callable[[Path, bytes], None]:
    def read(folder: Path, data: bytes) -> None:
        path = _written(folder, name, data)
        tensors, _ = read_tensors(path)
        for value in tensors.values():
            assert value.dtype == torch.float32 or not value.is_floating_point()
            assert bool(torch.isfinite(value).all())
        read_weights(path)

    return read


@functools.cache
def _bound() -> tuple[Any, dict[str, Any]]:
    adapter = build_adapter("grata", life_cycle="never", seed=0)
    adapter.bind(tiny_network())
    adapter.adapt(tiny_images()[0])
    return adapter, adapter.state_dict()


@st.composite
def _states(draw: st.DrawFn) -> dict[str, Any]:
    """Return the state of an adapter with up to three places changed."""
    import copy

    state = copy.deepcopy(_bound()[1])
    for _ in range(draw(st.integers(0, 3))):
        place: Any = state
        while True:
            keys = sorted(place, key=str) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if isinstance(inner, (dict, list)) and len(inner) and draw(st.integers(0, 4)):
                place = inner
                continue
            break
        how = draw(st.integers(0, 6))
        if how == 0:
            del place[key]
            if not state:
                return state
        elif how == 1:
            place[key] = torch.zeros(draw(st.lists(st.integers(0, 3), max_size=3)))
        elif how == 2 and isinstance(inner, torch.Tensor):
            place[key] = inner.to(draw(st.sampled_from((torch.float64, torch.int32, torch.bool))))
        elif how == 3 and isinstance(inner, torch.Tensor):
            place[key] = inner.reshape(-1)[: draw(st.integers(0, 3))]
        else:
            place[key] = draw(json_values(("step", "lr", "x")))
    return state


def _adapter_state(_: Path, state: dict[str, Any]) -> None:
    adapter, good = _bound()
    adapter.load_state_dict(good)
    try:
        adapter.load_state_dict(state)
    except ValueError:
        assert _same(adapter.state_dict(), good), "a refused state left something behind"
        raise


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


# -- archives ----------------------------------------------------------------------------------


def _archive(folder: Path, data: bytes) -> None:
    path = _written(folder, "x.zip", data)
    before = sorted(folder.iterdir())
    with open_raw([path]) as raw:
        for file in raw:
            assert ".." not in Path(file.path).parts
            with contextlib.suppress(OSError):
                file.read()
    assert sorted(folder.iterdir()) == before


def _matlab(folder: Path, data: bytes) -> None:
    path = _written(folder, "x.mat", data)
    assert read_mat(RawFile("x.mat", path, None, len(data), "")).ndim == 2


# -- the annotation server ---------------------------------------------------------------------


def _label_file(folder: Path, data: tuple[str, bytes]) -> None:
    extension, content = data
    labels = read_label_file(_written(folder, f"x{extension}", content))
    assert labels.ndim == 2
    assert labels.max() <= 2


def _label_files() -> st.SearchStrategy[tuple[str, bytes]]:
    by_extension = [
        st.tuples(st.just(extension), files(*valid))
        for extension, valid in samples.labels().items()
    ]
    return st.one_of(by_extension)


_POLYGONS = [
    {"label": "optic disc", "contours": [[[1, 1], [9, 1], [9, 9], [1, 9]]]},
    {"label": "optic cup", "contours": [[[3.5, 3], [6, 3], [5, 6]]]},
]


def _polygons(_: Path, polygons: Any) -> None:
    labels = rasterize(polygons, (12, 10))
    assert labels.shape == (12, 10)
    contours(labels)


_SETTINGS = {
    "image_size": 64,
    "framing": "regions",
    "method": "grata",
    "life_cycle": "online",
    "beta": 0.1,
    "method_options": {"mapping": "linear"},
    "seed": 1,
    "device": "cpu",
    "hosts": ["localhost"],
    "session_minutes": 5.0,
    "max_sessions": 2,
}
_REQUEST = {
    "method": "tent",
    "life_cycle": "episodic",
    "beta": "0.1",
    "method_options": {"mapping": ["linear"]},
    "client_id": "me",
    "disc_center": [3, 4],
    "result_extension": ".png",
    "restart": True,
}


def _settings(folder: Path, data: bytes) -> None:
    _written(folder, "settings.json", data)
    LabelSettings.read(folder).write(folder / "again")


def _request(_: Path, params: dict[str, Any]) -> None:
    request = LabelSettings(device="cpu").request(params)
    request.build(life_cycle="per_image", seed=0)
    check_center(request.disc_center, (10, 10))
    assert isinstance(request.key, str)


def _matlab_files() -> tuple[bytes, ...]:
    found = []
    for compressed in (False, True):
        buffer = io.BytesIO()
        scipy.io.savemat(buffer, {"mask": np.eye(5, dtype=np.uint8)}, do_compression=compressed)
        found.append(buffer.getvalue())
    return tuple(found)


def _targets() -> dict[str, Target]:
    pictures = files(*samples.images())
    lists = csv_files(
        {
            "image": ("a.png", "image/b.png", "image\\b.png"),
            "mask": ("mask/b.png", "", "mask/b.png"),
            "center_row": ("3",),
            "center_col": ("3", "4.5"),
        }
    )
    pairs = csv_files(
        {
            "image": ("a.png", "image/b.png", "C:\\x\\a.png"),
            "mask": ("mask/b.png", "MASK/B.png"),
            "split": ("train", "test", ""),
            "center_row": ("3", ""),
            "center_col": ("3", ""),
        }
    )
    centers = csv_files(
        {
            "image": ("a.png", "b/a.png", "c", "d.png", "b/e.jpg"),
            "center_row": ("1", "2.5"),
            "center_col": ("1", "0"),
        }
    )
    sizes = ("top", "left", "roi_height", "roi_width", "native_height", "native_width")
    rois = csv_files(
        {
            "name": ("a", "b"),
            "source": ("x.png",),
            "image": ("D/image/a.png",),
            **dict.fromkeys(sizes, ("0", "4", "12")),
            "turned": ("1", "6"),
            "center_from": ("mask", "whole"),
        }
    )
    prepared = st.tuples(
        json_files(_MANIFEST),
        json_files({"settings": {}}, {"record": _MANIFEST["records"][0]}),
        csv_files({"image": ("D/image/a.png",), "mask": ("D/mask/a.png", "")}),
    )
    found = {
        "photograph": Target(pictures, _photograph, names="x.png"),
        "mask": Target(pictures, _mask, names="x.png"),
        "levels": Target(pictures, _levels, names="x.png"),
        "image_folder": Target(pictures, _folder_of_images, names="x.png"),
        "csv_list": Target(lists, _csv_list, prepare=_put_images),
        "pair_table": Target(pairs, _pair_table, names="x.csv", prepare=_put_images),
        "centers": Target(centers, _centers, names="x.csv"),
        "roi_table": Target(rois, _roi_table, names="roi.csv"),
        "prepared_folder": Target(prepared, _prepared),
        "grid": Target(json_files(_GRID), _grid),
        "run": Target(_run_inputs(), _run),
        "report": Target(_run_inputs(), _report),
        "weights": Target(files(*samples.weights()), _weights("x.pt"), names="x.pt"),
        "adapter_state": Target(_states(), _adapter_state, refusals=(ValueError,)),
        "archive": Target(files(*samples.archives()), _archive, names="x.zip"),
        "matlab": Target(files(*_matlab_files()), _matlab, refusals=(FileError,)),
        "label_file": Target(_label_files(), _label_file, names="x."),
        "polygons": Target(changed_json(_POLYGONS), _polygons, refusals=(ValueError,)),
        "settings": Target(json_files(_SETTINGS), _settings, names="settings.json"),
        "request": Target(
            st.dictionaries(st.sampled_from(tuple(_REQUEST)), json_values()),
            _request,
            refusals=(ValueError,),
        ),
    }
    if samples.dicoms():
        found["dicom"] = Target(files(*samples.dicoms()), _dicom, names="x.dcm")
    if samples.safetensors():
        inputs = files(*samples.safetensors())
        found["safetensors"] = Target(inputs, _weights("x.safetensors"), names="x.safetensors")
    return found


TARGETS = _targets()
"""Every reader by its name."""
