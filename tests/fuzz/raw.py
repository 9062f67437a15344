# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Readers of archives and MATLAB files."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import scipy.io

from grata_monai.preparation import open_raw
from grata_monai.preparation.origa import _read_mat as read_mat
from grata_monai.preparation.problems import FileError
from grata_monai.preparation.sources import RawFile
from tests.fuzz import samples
from tests.fuzz.mutations import files
from tests.fuzz.target import Target, written


def _archive(folder: Path, data: bytes) -> None:
    path = written(folder, "x.zip", data)
    before = sorted(folder.iterdir())
    with open_raw([path]) as raw:
        for file in raw:
            assert ".." not in Path(file.path).parts
            with contextlib.suppress(OSError):
                file.read()
    assert sorted(folder.iterdir()) == before


def _matlab(folder: Path, data: bytes) -> None:
    path = written(folder, "x.mat", data)
    assert read_mat(RawFile("x.mat", path, None, len(data), "")).ndim == 2


def _matlab_files() -> tuple[bytes, ...]:
    found = []
    for compressed in (False, True):
        buffer = io.BytesIO()
        scipy.io.savemat(buffer, {"mask": np.eye(5, dtype=np.uint8)}, do_compression=compressed)
        found.append(buffer.getvalue())
    return tuple(found)


TARGETS = {
    "archive": Target(files(*samples.archives()), _archive, names="x.zip"),
    "matlab": Target(files(*_matlab_files()), _matlab, refusals=(FileError,)),
}
