# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Readers of the annotation server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from grata_monai.label.contours import contours, rasterize
from grata_monai.label.label_files import read_label_file
from grata_monai.label.request import check_center
from grata_monai.label.settings import LabelSettings
from tests.fuzz import samples
from tests.fuzz.mutations import changed_json, files, json_files, json_values
from tests.fuzz.target import Target, written


def _label_file(folder: Path, data: tuple[str, bytes]) -> None:
    extension, content = data
    labels = read_label_file(written(folder, f"x{extension}", content))
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
    written(folder, "settings.json", data)
    LabelSettings.read(folder).write(folder / "again")


def _request(_: Path, params: dict[str, Any]) -> None:
    request = LabelSettings(device="cpu").request(params)
    request.build(life_cycle="per_image", seed=0)
    check_center(request.disc_center, (10, 10))
    assert isinstance(request.key, str)


TARGETS = {
    "label_file": Target(_label_files(), _label_file, names="x."),
    "polygons": Target(changed_json(_POLYGONS), _polygons, refusals=(ValueError,)),
    "settings": Target(json_files(_SETTINGS), _settings, names="settings.json"),
    "request": Target(
        st.dictionaries(st.sampled_from(tuple(_REQUEST)), json_values()),
        _request,
        refusals=(ValueError,),
    ),
}
